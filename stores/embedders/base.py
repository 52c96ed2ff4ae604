"""The border to every embedder."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from errors import ModelError


class EmbedderBusy(ModelError):
    """Try again later; `wait` is what the server asked for, in seconds."""

    def __init__(self, message: str, hint: str, wait: float | None = None) -> None:
        super().__init__(message, hint)
        self.wait = wait


class Embedder(Protocol):
    """`embed` gives unit vectors, shape (texts, dim), for texts of at most `window` tokens.

    `name` is part of the key under which vectors are kept: another model, another name. `used` is
    how many tokens a server has billed so far.
    """

    name: str
    remote: bool
    used: int

    @property
    def window(self) -> int: ...

    def count(self, text: str) -> int:
        """How many tokens the text has, special tokens left out."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raises EmbedderBusy for what may work later, else ModelError. Makes one attempt."""
        ...

    def price(self, tokens: int) -> int | None:
        """Nano-dollars for so many tokens, or None where no price is known."""
        ...


def unit(vectors: NDArray[np.float32], texts: int, name: str) -> NDArray[np.float32]:
    """The vectors scaled to length 1. Raises ModelError unless there is a sound one per text."""
    if vectors.ndim != 2 or len(vectors) != texts or not np.isfinite(vectors).all():
        raise ModelError(f"The embedder {name} did not answer with a vector for each text.")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
