"""Search by meaning: every description's vector in one matrix, compared with all of them, exactly.

50,000 descriptions of 384 numbers are 77 MB, and one look through them takes milliseconds. They are
read from the ledger and `vectors.sqlite` when the first question comes, and again when a run has
ended since: texts are embedded at the end of a run.
"""

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from errors import UsageError
from graph_ops.graph import kind_of
from stores.embedders.base import Embedder
from stores.stored_vectors import known_vectors, paragraphs
from stores.trails.calls import texts
from stores.trails.nodes import layer
from stores.trails.runs import Run, runs
from stores.vectors import mean, windows

_CHUNK = 5000


@dataclass(frozen=True)
class Hit:
    """A node, how near its description is (cosine), and the hop of that description."""

    node: str
    score: float
    hop: int
    text: str


@dataclass(frozen=True)
class Matrix:
    """Unit vectors, shape (nodes, dim), of each node's last description. `missing` have none."""

    embedder: str
    ended: tuple[str, ...]
    nodes: list[str]
    hops: list[int]
    hashes: list[str]
    rows: NDArray[np.float32]
    users: NDArray[np.bool_]
    places: dict[str, int]
    missing: int


class Meaning:
    """The matrix of a workspace, and who turns a question into a vector."""

    def __init__(self, workspace: Path, open_embedder: Callable[[str], Embedder]) -> None:
        self._path = workspace / "vectors.sqlite"
        self._open = open_embedder
        self._building, self._embedding = threading.Lock(), threading.Lock()
        self._matrix: Matrix | None = None
        self._embedder: tuple[str, Embedder] | None = None

    def search(self, db: sqlite3.Connection, question: str, count: int) -> list[Hit]:
        """The descriptions nearest to a question. Raises UsageError where nothing is embedded."""
        matrix = self.matrix(db)
        with self._embedding:
            embedder = self._opened(matrix.embedder)
            pieces = windows(question, embedder.window, embedder.count)
            vectors = embedder.embed(pieces)
            counts = [embedder.count(piece) for piece in pieces]
        asked = mean(list(zip(counts, vectors, strict=True)))
        if len(asked) != matrix.rows.shape[1]:
            raise UsageError(
                f"The embedder {matrix.embedder} gives {len(asked)} numbers now, and gave"
                f" {matrix.rows.shape[1]} when the descriptions were embedded."
            )
        scores = matrix.rows @ asked
        return _best(db, matrix, scores, count)

    def nearest(self, db: sqlite3.Connection, node: str, count: int) -> list[Hit]:
        """The nodes of the same kind whose descriptions are nearest to a node's."""
        matrix = self.matrix(db)
        if node not in matrix.places:
            raise UsageError(f"The description of {node} is not embedded.")
        place = matrix.places[node]
        scores = matrix.rows @ matrix.rows[place]
        scores[matrix.users != matrix.users[place]] = -np.inf
        scores[place] = -np.inf
        return _best(db, matrix, scores, count)

    def matrix(self, db: sqlite3.Connection) -> Matrix:
        """The vectors as they are now. Raises UsageError where no run has embedded anything."""
        done = [run for run in runs(db) if run.how == "done"]
        ended = tuple(run.id for run in done)
        with self._building:
            if self._matrix is None or self._matrix.ended != ended:
                if not done:
                    raise UsageError(
                        "No run has ended yet, so no description is embedded.",
                        hint="Descriptions are embedded when the last hop is written.",
                    )
                self._matrix = self._built(db, done)
            return self._matrix

    def _built(self, db: sqlite3.Connection, done: list[Run]) -> Matrix:
        embedder = str(done[0].settings.get("embedder", ""))
        same = [one for one in done if one.settings.get("embedder") == embedder]
        last = _last_descriptions(db, same)
        names = sorted(last)
        kept: list[str] = []
        found: list[NDArray[np.float32]] = []
        for start in range(0, len(names), _CHUNK):
            some = names[start : start + _CHUNK]
            bodies = texts(db, [last[node][1] for node in some])
            said = [bodies[last[node][1]] for node in some]
            at, vectors = known_vectors(self._path, embedder, said)
            late = sorted(set(range(len(some))) - set(at))
            kept += [some[place] for place in at]
            found += [vectors] if at else []
            at, vectors = self._in_windows(embedder, [said[place] for place in late])
            kept += [some[late[place]] for place in at]
            found += [vectors] if at else []
        if not kept:
            raise UsageError(
                "The workspace has no embeddings of its descriptions.",
                hint="They are made at the end of refine.",
            )
        return Matrix(
            embedder=embedder,
            ended=tuple(run.id for run in done),
            nodes=kept,
            hops=[last[node][0] for node in kept],
            hashes=[last[node][1] for node in kept],
            rows=np.concatenate(found),
            users=np.array([kind_of(node) == "user" for node in kept]),
            places={node: place for place, node in enumerate(kept)},
            missing=len(names) - len(kept),
        )

    def _in_windows(self, name: str, said: list[str]) -> tuple[list[int], NDArray[np.float32]]:
        """Texts with a paragraph that its embedder had to cut: only it knows where."""
        some = [text for text in said if paragraphs(text)]
        if not some:
            return [], np.empty((0, 0), dtype=np.float32)
        with self._embedding:
            embedder = self._opened(name)
            return known_vectors(
                self._path, name, said, lambda text: windows(text, embedder.window, embedder.count)
            )

    def _opened(self, name: str) -> Embedder:
        if self._embedder is None or self._embedder[0] != name:
            self._embedder = (name, self._open(name))
        return self._embedder[1]


def _last_descriptions(db: sqlite3.Connection, done: list[Run]) -> dict[str, tuple[int, str]]:
    """Each node's highest hop in the newest run that described it, with the text's hash."""
    last: dict[str, tuple[int, str]] = {}
    for run in done:
        before = set(last)
        for hop in range(int(run.settings.get("hops", 0)), -1, -1):
            for node, hash in layer(db, run.id, hop):
                if node not in last:
                    last[node] = (hop, hash)
        # A run without a limit described every node; what came before it is over.
        if run.settings.get("limit") is None or set(last) == before:
            break
    return last


def _best(
    db: sqlite3.Connection, matrix: Matrix, scores: NDArray[np.float32], count: int
) -> list[Hit]:
    top = np.argsort(-scores, kind="stable")[:count]
    top = top[np.isfinite(scores[top])]
    bodies = texts(db, [matrix.hashes[place] for place in top])
    return [
        Hit(
            matrix.nodes[place],
            float(scores[place]),
            matrix.hops[place],
            bodies.get(matrix.hashes[place], ""),
        )
        for place in top
    ]
