"""Embeddings that are known already, read without an embedder and beside a run that writes.

`stores.vectors` keeps a vector for each piece of text. A description is its paragraphs, and a
paragraph that the embedder could take whole is one piece; so the embedding of a description is put
together here as it is there, and Chroma need not be opened.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from errors import StoreError
from stores.rows import digest
from stores.vectors import PARAGRAPH, mean

Vector = NDArray[np.float32]
Cut = Callable[[str], Sequence[str]]
_CHUNK = 1000


def paragraphs(text: str) -> list[str]:
    """The pieces of a text each paragraph of which fits into the embedder's window."""
    return [piece for piece in (part.strip() for part in text.split(PARAGRAPH)) if piece]


def known_vectors(
    path: Path, embedder: str, texts: Sequence[str], cut: Cut = paragraphs
) -> tuple[list[int], Vector]:
    """The places of those of `texts` that are embedded, and their unit vectors, shape (found, dim).

    `path` is the workspace's `vectors.sqlite`, `embedder` its name as a run's settings have it,
    `cut` turns a text into its pieces. Without the file nothing is known. Raises StoreError where
    it is damaged.
    """
    if not path.is_file():
        return [], np.empty((0, 0), dtype=np.float32)
    places: list[int] = []
    found: list[Vector] = []
    try:
        with closing(_opened(path)) as db:
            for start in range(0, len(texts), _CHUNK):
                cuts = [list(cut(text)) for text in texts[start : start + _CHUNK]]
                pieces = _pieces(db, embedder, {digest(one) for some in cuts for one in some})
                for place, some in enumerate(cuts, start):
                    known = [pieces.get(digest(one)) for one in some]
                    if known and all(one is not None for one in known):
                        places.append(place)
                        found.append(mean([one for one in known if one is not None]))
    except sqlite3.Error as error:
        raise StoreError(
            f"{path} cannot be read: {error}.", hint="Delete it: it can be computed again."
        ) from error
    return places, np.stack(found) if found else np.empty((0, 0), dtype=np.float32)


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)


def _pieces(
    db: sqlite3.Connection, embedder: str, hashes: set[str]
) -> dict[str, tuple[int, Vector]]:
    wanted, found = sorted(hashes), {}
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        rows = db.execute(
            "SELECT hash, tokens, vector FROM vectors WHERE embedder = ? AND hash IN"
            f" ({','.join('?' * len(some))})",
            (embedder, *some),
        )
        for name, tokens, blob in rows:
            found[name] = (int(tokens), np.frombuffer(blob, dtype="<f4"))
    return found
