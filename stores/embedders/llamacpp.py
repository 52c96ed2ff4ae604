"""Embeddings of a GGUF model in this process."""

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import ModelError
from stores.connection import Connection
from stores.embedders.base import unit
from stores.gguf import fingerprint, gguf_path, load

# A longer window costs memory with its square, and texts come in paragraphs.
MOST_TOKENS = 2048


class LlamaCppEmbedder:
    """One model file; its vectors are pooled as the file says, or else the mean of its tokens."""

    remote = False
    used = 0

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._path = gguf_path(connection, "llamacpp:models/nomic-embed.gguf")
        self.name = f"llamacpp:{self._path.name}#{fingerprint(self._path)}"
        # llama.cpp is not thread-safe, and who embeds may come from any thread.
        self._lock = threading.RLock()

    @cached_property
    def _model(self) -> Any:
        with self._lock:
            model = self._opened(-1)
            from llama_cpp import LLAMA_POOLING_TYPE_MEAN, LLAMA_POOLING_TYPE_NONE
            from llama_cpp import LLAMA_POOLING_TYPE_RANK as RANK

            if model.pooling_type() == LLAMA_POOLING_TYPE_NONE:
                model.close()
                model = self._opened(LLAMA_POOLING_TYPE_MEAN)
            if model.pooling_type() == RANK:
                raise ModelError(f"{self._path} is a reranker: it gives no embeddings.")
            return model

    def _opened(self, pooling: int) -> Any:
        size = min(self._connection.n_ctx, MOST_TOKENS)
        # A text must fit into one batch to be pooled.
        options = {"n_ctx": size, "n_batch": size, "n_ubatch": size, "pooling_type": pooling}
        return load(self._path, self._connection, embedding=True, **options)

    @cached_property
    def window(self) -> int:
        """The context, or what the model was trained on, its special tokens left out."""
        import llama_cpp

        with self._lock:
            trained = llama_cpp.llama_model_n_ctx_train(self._model.model)
            specials = len(self._model.tokenize(b""))
            most: int = min(self._model.n_batch, trained or MOST_TOKENS)
            return max(1, most - specials)

    def count(self, text: str) -> int:
        with self._lock:
            return len(self._model.tokenize(text.encode("utf-8", "replace"), add_bos=False))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        readable = [text.encode("utf-8", "replace").decode() for text in texts]
        longest = max(map(self.count, readable), default=0)
        # llama.cpp would end the process where a text has more tokens than the model has positions.
        if longest > self.window:
            raise ModelError(f"A text has {longest} tokens; {self.name} takes {self.window}.")
        try:
            with self._lock:
                vectors = self._model.embed(readable, truncate=False) if readable else []
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"The embedder {self.name} failed: {error}") from error
        return unit(np.array(vectors, dtype=np.float32), len(texts), self.name)

    def price(self, tokens: int) -> int | None:
        return 0
