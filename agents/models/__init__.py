"""Models by name. A provider is one file beside this one and one line in `PROVIDERS`."""

from collections.abc import Callable
from dataclasses import dataclass

from agents.models.base import Model
from errors import UsageError, unknown


@dataclass(frozen=True, slots=True)
class Access:
    """What a provider may need: `keys` maps an address ("" for the default) to (address, key)."""

    keys: Callable[[str], tuple[str, str]]
    temperature: float | None = 0.0
    timeout: float = 120.0


def open_model(spec: str, access: Access) -> Model:
    """`offline`, `openai:NAME` or `openai:NAME@URL`."""
    provider, _, rest = spec.partition(":")
    if provider not in PROVIDERS or spec.startswith("offline:"):
        raise unknown("model", spec, ["offline", "openai:NAME", "openai:NAME@URL"])
    return PROVIDERS[provider](rest, access)


def _offline(rest: str, access: Access) -> Model:
    from agents.models.offline import Offline

    return Offline()


def _openai(rest: str, access: Access) -> Model:
    from agents.models.openai import OpenAIModel

    name, _, url = rest.partition("@")
    if not name:
        raise UsageError(
            "The model openai: needs a name.",
            hint="For example openai:gpt-4o-mini, or "
            "openai:NAME@http://127.0.0.1:8080/v1 for a server of your own.",
        )
    address, key = access.keys(url)
    return OpenAIModel(name, address, key, access.temperature, access.timeout)


PROVIDERS: dict[str, Callable[[str, Access], Model]] = {"offline": _offline, "openai": _openai}
