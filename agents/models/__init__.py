"""Models by provider. A provider is one file beside this one and one line in `PROVIDERS`."""

from collections.abc import Callable

from agents.models.base import Model
from errors import UsageError, unknown
from stores.connection import Connection


def open_model(connection: Connection) -> Model:
    """The model that a connection leads to. Raises UsageError for an unknown provider."""
    if connection.provider not in PROVIDERS:
        raise unknown("model", connection.provider, WAYS)
    return PROVIDERS[connection.provider](connection)


def _offline(connection: Connection) -> Model:
    from agents.models.offline import Offline

    if connection.model:
        raise UsageError(f"offline is one model, not offline:{connection.model}.")
    return Offline(connection.threads)


def _openai(connection: Connection) -> Model:
    from agents.models.openai import OpenAIModel

    if not connection.model:
        raise UsageError(
            "The model openai: needs a name.",
            hint="For example openai:gpt-4o-mini, or "
            "openai:NAME@http://127.0.0.1:8080/v1 for a server of your own.",
        )
    return OpenAIModel(connection)


def _llamacpp(connection: Connection) -> Model:
    from agents.models.llamacpp import LlamaCpp

    return LlamaCpp(connection)


WAYS = (
    "offline",
    "openai:NAME",
    "openai:NAME@URL",
    "llamacpp:FILE.gguf",
    "a name under models: in settings.yaml",
)
"""How each provider's models are named on the command line."""

PROVIDERS: dict[str, Callable[[Connection], Model]] = {
    "offline": _offline,
    "openai": _openai,
    "llamacpp": _llamacpp,
}
