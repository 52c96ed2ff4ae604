"""Settings: `settings.yaml` < environment (and `.env`) < flags. Unknown keys are refused."""

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from errors import ModelError, UsageError

PREFIX = "HOPSCRIBE_"
OPENAI = "https://api.openai.com/v1"
KEY = f"{PREFIX}API_KEY"


class Settings(BaseModel):
    """Everything a run can be told. Secrets are not settings: see `access_key`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "offline"
    embedder: str = "minilm"
    seed: int = Field(default=0, ge=0)
    domain: str | None = Field(default=None, description="None: the data's own, else generic")
    language: str | None = Field(default=None, description="None: the data's own, else English")
    neighbours: int = Field(default=6, ge=1, le=100)
    sampling: Literal["uniform", "recent", "degree-damped"] = "uniform"
    mode: Literal["append", "replace"] = "append"
    evidence_tokens: int = Field(default=1800, ge=200)
    concurrency: int = Field(default=16, ge=1, le=1024)
    thinking_tokens: int = Field(
        default=0, ge=0, description="room in each reply for models that think before they answer"
    )
    temperature: float | None = Field(default=0.0, ge=0, description="null: the server's default")
    timeout: float = Field(default=120.0, gt=0, description="seconds a call may take")


def load(flags: dict[str, Any], folder: Path) -> Settings:
    """Merge the sources. Raises UsageError naming the source and the key that is wrong."""
    _read_dotenv(folder / ".env")
    known = Settings.model_fields
    from_file = _read_yaml(folder / "settings.yaml")
    from_environment = {
        name[len(PREFIX) :].lower(): None if value == "null" else value
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and name != KEY
    }
    for source, values in (("settings.yaml", from_file), ("the environment", from_environment)):
        for key in values:
            if key not in known:
                name = PREFIX + key.upper() if source != "settings.yaml" else key
                raise UsageError(
                    f"{source}: unknown setting {name}.", hint=f"Known: {', '.join(known)}."
                )
    given = {key: value for key, value in flags.items() if value is not None}
    try:
        return Settings.model_validate({**from_file, **from_environment, **given})
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        source = (
            f"--{key.replace('_', '-')}"
            if key in given
            else f"{PREFIX}{key.upper()}"
            if key in from_environment
            else f"settings.yaml: {key}"
        )
        raise UsageError(f"{source}: {first['msg']} (it is {first['input']!r}).") from error


def access_key(url: str) -> tuple[str, str]:
    """Address and key for a server; an empty `url` means OpenAI, or OPENAI_BASE_URL.

    A server named with @URL gets HOPSCRIBE_API_KEY and never OPENAI_API_KEY: a key goes only where
    it belongs. Local servers usually need none.
    """
    if url:
        return _address(url), os.environ.get(KEY, "").strip() or "none"
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not key:
        raise ModelError(
            "OPENAI_API_KEY is not set.",
            hint="Put it into the environment or into .env, or name a server of your own: "
            "openai:NAME@http://127.0.0.1:8080/v1.",
        )
    return _address(os.environ.get("OPENAI_BASE_URL") or OPENAI), key


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{url!r} is not the address of a server.", hint="http://HOST:PORT/v1")
    if parts.username is not None or parts.password is not None:
        # An address is written to the ledger; a secret must not be.
        raise UsageError(
            "A server's address must not hold a name or a password.", hint=f"Use {KEY}."
        )
    return url.rstrip("/")


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"{path}: settings are written as `key: value` lines.")
    return {str(key): value for key, value in values.items()}


def _read_dotenv(path: Path) -> None:
    if path.is_file():
        from dotenv import load_dotenv

        try:
            load_dotenv(path, override=False)
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not UTF-8: {error}") from error
