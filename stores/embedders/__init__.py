"""Who turns text into vectors. An embedder is one class here plus one line in `EMBEDDERS`."""

from collections.abc import Callable

from errors import UsageError, unknown
from stores.connection import Connection
from stores.embedders.base import Embedder, EmbedderBusy
from stores.embedders.encoders import MiniLM, SentenceTransformers
from stores.embedders.llamacpp import LlamaCppEmbedder
from stores.embedders.openai import OpenAIEmbedder

__all__ = [
    "EMBEDDERS",
    "Embedder",
    "EmbedderBusy",
    "LlamaCppEmbedder",
    "MiniLM",
    "OpenAIEmbedder",
    "SentenceTransformers",
    "WAYS",
    "open_embedder",
]


def _minilm(connection: Connection) -> Embedder:
    if connection.model:
        raise UsageError(f"minilm is one embedder, not minilm:{connection.model}.")
    return MiniLM()


WAYS = (
    "minilm",
    "openai:NAME",
    "openai:NAME@URL",
    "llamacpp:FILE.gguf",
    "sentence-transformers:FOLDER",
    "a name under models: in settings.yaml",
)
"""How each provider's embedders are named on the command line."""

EMBEDDERS: dict[str, Callable[[Connection], Embedder]] = {
    "minilm": _minilm,
    "openai": OpenAIEmbedder,
    "llamacpp": LlamaCppEmbedder,
    "sentence-transformers": SentenceTransformers,
}


def open_embedder(connection: Connection) -> Embedder:
    """The embedder that a connection leads to. Raises UsageError for an unknown provider."""
    if connection.provider not in EMBEDDERS:
        raise unknown("embedder", connection.provider, WAYS)
    return EMBEDDERS[connection.provider](connection)
