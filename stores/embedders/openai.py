"""Any server with OpenAI's /embeddings."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from errors import ModelError, UsageError
from stores.connection import Connection, hide
from stores.embedders.base import EmbedderBusy, unit
from stores.prices import cost

if TYPE_CHECKING:
    import openai


class OpenAIEmbedder:
    """One embedding model at one address."""

    remote = True
    window = 2000  # far below the 8,191 tokens of OpenAI's models, whatever the language

    def __init__(self, connection: Connection) -> None:
        if not connection.model:
            raise UsageError("The embedder openai: needs a model name.", "openai:NAME[@URL]")
        self._connection = connection
        hide(connection.key)
        self.used = 0
        self.name = f"openai:{connection.model}@{connection.url}"

    def count(self, text: str) -> int:
        plain = len(re.sub(r"[^\x00-\x7f]", "", text))
        return max(1, plain // 4 + (len(text) - plain))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import openai

        to = self._connection
        client = openai.OpenAI(base_url=to.url, api_key=to.key, max_retries=0, timeout=to.timeout)
        busy = (openai.RateLimitError, openai.InternalServerError, openai.APIConnectionError)
        try:
            reply = client.embeddings.create(
                model=to.model, input=list(texts), encoding_format="float"
            )
        except openai.OpenAIError as error:
            said = f"The embedder {self.name} failed: {type(error).__name__}."
            hint = "Check the address, the key and the model name; what was embedded is kept."
            if isinstance(error, busy):
                raise EmbedderBusy(said, hint, _retry_after(error)) from error
            raise ModelError(said, hint) from error
        usage = getattr(reply.usage, "total_tokens", None)
        self.used += sum(map(self.count, texts)) if usage is None else usage
        rows = sorted(reply.data, key=lambda row: row.index)
        if [row.index for row in rows] != list(range(len(texts))):
            rows = []
        vectors = np.array([row.embedding for row in rows], dtype=np.float32)
        return unit(vectors, len(texts), self.name)

    def price(self, tokens: int) -> int | None:
        return cost(self._connection, tokens)


def _retry_after(error: "openai.OpenAIError") -> float | None:
    response = getattr(error, "response", None)
    try:
        return float(response.headers["retry-after"]) if response is not None else None
    except (KeyError, ValueError):
        return None
