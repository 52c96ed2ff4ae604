"""Embeddings by text: every piece of text is embedded once per embedder, ever.

A text is cut into its paragraphs (a refined description is one paragraph per hop) and these into
windows that the embedder can take whole; nothing is cut off. The embedding of a text is the mean
of its windows' embeddings, weighted by their tokens, scaled to length 1 (our own choice).
"""

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from errors import StoreError
from stores.embedders import Embedder
from stores.rows import digest
from stores.sqlite_file import check, create

# Not WITHOUT ROWID: a row of an index that is longer than a quarter of a page spills into a page of
# its own, and 384 numbers would take 4.7 kB instead of 2.1.
SCHEMA = (
    "CREATE TABLE vectors (embedder TEXT, hash TEXT, tokens INTEGER, vector BLOB,"
    " PRIMARY KEY (embedder, hash));"
)
PARAGRAPH = "\n\n"
BATCH = 256
Vector = NDArray[np.float32]
Pay = Callable[[Sequence[str], Callable[[], None]], None]


def windows(text: str, limit: int, count: Callable[[str], int]) -> list[str]:
    """Cut a text into pieces of at most `limit` tokens, after a sentence where possible."""
    pieces: list[str] = []
    for paragraph in text.split(PARAGRAPH):
        current = ""
        for part in _parts(paragraph.strip(), limit, count):
            longer = f"{current} {part}".strip()
            if current and count(longer) > limit:
                pieces.append(current)
                current = part
            else:
                current = longer
        if current:
            pieces.append(current)
    return pieces


def _parts(paragraph: str, limit: int, count: Callable[[str], int]) -> Iterator[str]:
    if count(paragraph) <= limit:
        yield paragraph
        return
    for sentence in re.split(r"(?<=[.!?])\s+|(?<=[。！？])", paragraph):
        if count(sentence) <= limit:
            yield sentence
            continue
        words = sentence.split()
        glue, pieces = (" ", words) if len(words) > 1 else ("", list(sentence.strip()))
        half = len(pieces) // 2
        if half == 0:
            yield sentence
            continue
        yield from _parts(glue.join(pieces[:half]), limit, count)
        yield from _parts(glue.join(pieces[half:]), limit, count)


class Vectors:
    """An embedder and the SQLite file that remembers what it said."""

    def __init__(self, path: Path, embedder: Embedder) -> None:
        self.embedder, self._path = embedder, path
        try:
            create(path, SCHEMA, 0)
            check(path, 0)
            self._db = sqlite3.connect(path, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def __enter__(self) -> "Vectors":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def embed(self, texts: Sequence[str], pay: Pay = lambda pieces, embed: embed()) -> Vector:
        """Unit vectors for `texts`, shape (texts, dim).

        `pay` is handed each batch of new pieces and what embeds and keeps them; it may refuse.
        """
        cut = [windows(t, self.embedder.window, self.embedder.count) for t in texts]
        missing = self._missing(cut)
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            pay(batch, partial(self._embed, batch))
        known = self._known({piece for pieces in cut for piece in pieces})
        return np.stack([mean([known[piece] for piece in pieces]) for pieces in cut])

    def missing(self, texts: Iterable[str]) -> list[str]:
        """The pieces of these texts that were never embedded, each once."""
        return self._missing([windows(t, self.embedder.window, self.embedder.count) for t in texts])

    def _missing(self, cut: list[list[str]]) -> list[str]:
        pieces = {piece for some in cut for piece in some}
        return sorted(pieces - set(self._known(pieces)), key=lambda piece: (len(piece), piece))

    def _embed(self, batch: list[str]) -> None:
        counted = [self.embedder.count(piece) for piece in batch]
        self._keep(batch, counted, self.embedder.embed(batch))

    def _known(self, pieces: set[str]) -> dict[str, tuple[int, Vector]]:
        try:
            return self._found(pieces)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _found(self, pieces: set[str]) -> dict[str, tuple[int, Vector]]:
        by_hash = {digest(piece): piece for piece in pieces}
        found: dict[str, tuple[int, Vector]] = {}
        hashes = list(by_hash)
        for start in range(0, len(hashes), 500):
            some = hashes[start : start + 500]
            rows = self._db.execute(
                "SELECT hash, tokens, vector FROM vectors WHERE embedder = ? AND hash IN"
                f" ({','.join('?' * len(some))})",
                (self.embedder.name, *some),
            )
            for name, tokens, blob in rows:
                found[by_hash[name]] = (tokens, np.frombuffer(blob, dtype="<f4"))
        return found

    def _keep(self, pieces: list[str], tokens: list[int], vectors: Vector) -> None:
        rows = [
            (self.embedder.name, digest(piece), count, vector.astype("<f4").tobytes())
            for piece, count, vector in zip(pieces, tokens, vectors, strict=True)
        ]
        try:
            with self._db:
                self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"{self._path} cannot be used as a cache of embeddings: {error}.",
            hint="Delete it, or make room: everything in it can be computed again.",
        )


def mean(pieces: list[tuple[int, Vector]]) -> Vector:
    """The embedding of a text from its pieces' tokens and vectors, scaled to length 1."""
    weights = np.array([max(1, tokens) for tokens, _ in pieces], dtype=np.float32)
    whole = weights @ np.stack([vector for _, vector in pieces])
    return np.asarray(whole / max(float(np.linalg.norm(whole)), 1e-12), dtype=np.float32)
