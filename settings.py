"""Settings: `settings.yaml` < environment (and `.env`) < flags. Unknown keys are refused."""

import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from errors import ModelError, UsageError
from stores.chroma import Server
from stores.connection import Connection, Price

PREFIX = "HOPSCRIBE_"
OPENAI = "https://api.openai.com/v1"
KEY = f"{PREFIX}API_KEY"
CHROMA_KEY = f"{PREFIX}CHROMA_KEY"
REMOTE = {"openai"}
"""The providers that are reached over a network and may need a key."""


class Reach(BaseModel):
    """How models are reached: for every model at the top of the settings, for one under its name.

    Prices are in dollars for a million tokens. A limit that is not set is read from the server's
    headers, and learnt from its refusals.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    temperature: float | None = Field(default=0.0, ge=0, description="null: the server's default")
    timeout: float = Field(default=120.0, gt=0, description="seconds a call may take")
    concurrency: int = Field(default=16, ge=1, le=1024)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    n_ctx: int = Field(default=8192, ge=256, description="context of a llamacpp: model, in tokens")
    n_gpu_layers: int = Field(default=0, ge=-1, description="-1: all of them")
    threads: int | None = Field(
        default=None, ge=1, description="null: as llama.cpp sees fit; of offline, processes: a core"
    )


class Named(Reach):
    """A model or an embedder under `models:`. What it does not say, the top of the file says."""

    provider: str
    model: str = ""
    endpoint: str = ""
    key_variable: str | None = Field(
        default=None, description="the environment variable that holds its key"
    )
    input_price: float | None = Field(default=None, ge=0)
    output_price: float | None = Field(default=None, ge=0)

    @field_validator("key_variable")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            raise ValueError("it is the name of an environment variable, not the key itself")
        return value

    @model_validator(mode="after")
    def _has_both_prices(self) -> "Named":
        if self.output_price is not None and self.input_price is None:
            raise ValueError("an output_price needs an input_price")
        return self


class Settings(Reach):
    """Everything a run can be told. Secrets are not settings: see `access_key`."""

    model: str = "offline"
    embedder: str = "minilm"
    seed: int = Field(default=0, ge=0)
    domain: str | None = Field(default=None, description="None: the data's own, else generic")
    language: str | None = Field(default=None, description="None: the data's own, else English")
    neighbours: int = Field(default=6, ge=1, le=100)
    sampling: Literal["uniform", "recent", "degree-damped"] = "uniform"
    mode: Literal["append", "replace"] = "append"
    evidence_tokens: int = Field(default=1800, ge=200)
    thinking_tokens: int = Field(
        default=0, ge=0, description="room in each reply for models that think before they answer"
    )
    chroma: str | None = Field(
        default=None, description="a Chroma server: http://HOST:8000; null: in the workspace"
    )
    otlp: str | None = Field(
        default=None, description="a collector of spans: http://127.0.0.1:4318"
    )
    langsmith: bool = Field(
        default=False, description="true: LangSmith's variables are heeded, prompts go there"
    )
    models: dict[str, Named] = Field(default={}, description="models and embedders by name")

    def reach(self, spec: str) -> Named:
        """A name under `models:`, or PROVIDER:MODEL@URL, with everything that holds for it."""
        common = {name: getattr(self, name) for name in Reach.model_fields}
        if spec in self.models:
            own = self.models[spec].model_dump(exclude_unset=True)
        else:
            provider, _, rest = spec.partition(":")
            model, _, endpoint = rest.partition("@") if provider == "openai" else (rest, "", "")
            own = {"provider": provider, "model": model, "endpoint": endpoint}
        return Named(**{**common, **own})


def connection(reach: Named, must_have_key: bool = True) -> Connection:
    """What a model or an embedder is opened with, key included.

    Raises ModelError where a key is missing, UsageError where an address is none.
    """
    url, key = "", "none"
    if reach.provider in REMOTE:
        url, key = access_key(reach.endpoint, reach.key_variable, must_have_key)
    price = None
    if reach.input_price is not None:
        price = Price(reach.input_price, reach.output_price or 0.0)
    return Connection(
        provider=reach.provider,
        model=reach.model,
        url=url,
        key=key,
        temperature=reach.temperature,
        timeout=reach.timeout,
        price=price,
        n_ctx=reach.n_ctx,
        n_gpu_layers=reach.n_gpu_layers,
        threads=reach.threads,
    )


def chroma_server(settings: Settings) -> Server | None:
    """The Chroma server that keeps the descriptions; None: they are in the workspace.

    Raises UsageError where its address is none.
    """
    if settings.chroma is None:
        return None
    if "?" in settings.chroma or "#" in settings.chroma:
        raise UsageError(
            "A Chroma server's address ends before its ? or #.",
            hint=f"A key goes into {CHROMA_KEY}.",
        )
    url = _address(settings.chroma, "http://HOST:8000", CHROMA_KEY)
    return Server(url, os.environ.get(CHROMA_KEY, "").strip(), settings.timeout)


def load(flags: dict[str, Any], folder: Path) -> Settings:
    """Merge the sources. Raises UsageError naming the source and the key that is wrong."""
    _read_dotenv(folder / ".env")
    known = Settings.model_fields
    from_file = _read_yaml(folder / "settings.yaml")
    from_environment = {
        name[len(PREFIX) :].lower(): None if value == "null" else value
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and name not in (KEY, CHROMA_KEY)
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
            else f"settings.yaml: {'.'.join(map(str, first['loc']))}"
        )
        # What somebody wrote in a place that we do not know may be a key.
        plain = isinstance(first["input"], int | float | str) and key not in ("models",)
        shown = f" (it is {first['input']!r})" if plain and first["type"] != "missing" else ""
        raise UsageError(f"{source}: {first['msg']}{shown}.") from error


def access_key(
    url: str, variable: str | None = None, must_have_key: bool = True
) -> tuple[str, str]:
    """Address and key for a server; an empty `url` means OpenAI, or OPENAI_BASE_URL.

    A server named by its address gets the key in `variable`, or else HOPSCRIBE_API_KEY, and never
    OPENAI_API_KEY: a key goes only where it belongs. Local servers usually need none.
    """
    name = variable or (KEY if url else "OPENAI_API_KEY")
    key = os.environ.get(name, "").strip()
    if must_have_key and not key and (variable or not url):
        raise ModelError(
            f"{name} is not set.",
            hint="Put it into the environment or into .env, or name a server of your own: "
            "openai:NAME@http://127.0.0.1:8080/v1.",
        )
    return _address(url or os.environ.get("OPENAI_BASE_URL") or OPENAI), key or "none"


def _address(url: str, like: str = "http://HOST:PORT/v1", key: str = KEY) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if "@" in url:
        # An address is written to the ledger and into errors; a secret must not be.
        raise UsageError(
            "A server's address must not hold a name or a password.", hint=f"Use {key}."
        )
    if not usable:
        raise UsageError(f"{url!r} is not the address of a server.", hint=like)
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
