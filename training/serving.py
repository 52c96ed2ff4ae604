"""Answers from trained embeddings: what to recommend, what is similar, and why.

Plain arrays: N = U + I rows, users first. Nothing here trains. The best of many rows are found
piece by piece, exactly: beside the embeddings no array is as long as the catalogue.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

PIECE = 2**18
"""Rows scored at a time."""


@dataclass(frozen=True)
class Trained:
    """Node embeddings, shape (N, D), and the training pairs they were learnt from, shape (P, 2)."""

    users: int
    nodes_ND: Floats
    train_P2: Ints

    @property
    def items(self) -> int:
        return len(self.nodes_ND) - self.users

    def taken(self, user: int) -> Ints:
        """The items a user trained on."""
        found: Ints = self.train_P2[self.train_P2[:, 0] == user, 1]
        return found

    def takers(self, item: int) -> Ints:
        """The users who trained on an item."""
        found: Ints = self.train_P2[self.train_P2[:, 1] == item, 0]
        return found


@dataclass(frozen=True)
class Path:
    """user -> `liked` -> `other` -> item: what another user, who shares `liked`, took as well."""

    liked: int
    other: int
    strength: float


@dataclass(frozen=True)
class Reasons:
    """Why an item ranks where it does for a user.

    `nearest` are the user's other training items with their cosine to the item, best first.
    """

    score: float
    rank: int
    taken: bool
    nearest: list[tuple[int, float]]
    paths: list[Path]


def recommended(trained: Trained, user: int, count: int) -> list[tuple[int, float]]:
    """The best items that the user did not train on, with their scores."""
    pieces = _pieces(_items(trained), trained.nodes_ND[user], trained.taken(user))
    return _best(pieces, count)


def nearest(rows: Floats, row: int, count: int) -> list[tuple[int, float]]:
    """The other rows with the highest cosine to `row`."""
    pieces = _pieces(rows, unit(rows[row]), np.array([row]), cosine=True)
    return _best(pieces, count)


def reasons(trained: Trained, user: int, item: int, count: int) -> Reasons:
    """Score, rank among what the user has not taken, and the evidence in the training graph.

    A path's strength is the cosine of the two users times that of the two items (our choice).
    """
    scores, mine = _scores(trained, user), trained.taken(user)
    hidden = np.setdiff1d(mine, [item])
    rivals = np.delete(scores, hidden)
    users_UD, items_ID = unit(trained.nodes_ND[: trained.users]), unit(_items(trained))
    others = mine[mine != item]
    likeness = items_ID[others] @ items_ID[item]
    order = np.argsort(-likeness, kind="stable")[:count]
    return Reasons(
        score=float(scores[item]),
        rank=1 + int((rivals > scores[item]).sum()),
        taken=bool(item in mine),
        nearest=[(int(others[i]), float(likeness[i])) for i in order],
        paths=_paths(
            trained, user, item, users_UD, dict(zip(others, likeness, strict=True)), count
        ),
    )


def _paths(
    trained: Trained,
    user: int,
    item: int,
    users_UD: Floats,
    likeness: dict[int, float],
    count: int,
) -> list[Path]:
    """The strongest path through each other user who took the item and shares one with the user."""
    found = []
    for other in trained.takers(item):
        shared = [i for i in trained.taken(other) if i in likeness]
        if other == user or not shared:
            continue
        liked = max(shared, key=lambda i: likeness[i])
        strength = float(users_UD[user] @ users_UD[other]) * float(likeness[liked])
        found.append(Path(int(liked), int(other), strength))
    return sorted(found, key=lambda path: -path.strength)[:count]


def _pieces(
    rows: Floats, query: Floats, hidden: Ints, cosine: bool = False
) -> Iterator[tuple[int, Floats]]:
    """Scores of `PIECE` rows after the other, with the first row's number; hidden ones are -inf."""
    for start in range(0, len(rows), PIECE):
        some = rows[start : start + PIECE]
        scores: Floats = (unit(some) if cosine else some) @ query
        here = hidden[(hidden >= start) & (hidden < start + len(some))]
        scores[here - start] = -np.inf
        yield start, scores


def _best(pieces: Iterator[tuple[int, Floats]], count: int) -> list[tuple[int, float]]:
    """The `count` highest of all pieces that are not -inf, of equal ones the first."""
    best_rows, best = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    for start, scores in pieces:
        some = np.arange(len(scores))
        if count < len(scores):
            least = np.partition(scores, -count)[-count]
            above = np.flatnonzero(scores > least)
            equal = np.flatnonzero(scores == least)[: count - len(above)]
            some = np.sort(np.concatenate([above, equal]))
        best_rows = np.concatenate([best_rows, some + start])
        best = np.concatenate([best, scores[some]])
        order = np.argsort(-best, kind="stable")[:count]
        best_rows, best = best_rows[order], best[order]
    return [(int(row), float(x)) for row, x in zip(best_rows, best, strict=True) if np.isfinite(x)]


def _scores(trained: Trained, user: int) -> Floats:
    found: Floats = _items(trained) @ trained.nodes_ND[user]
    return found


def _items(trained: Trained) -> Floats:
    return trained.nodes_ND[trained.users :]


def unit(rows: Floats) -> Floats:
    """Rows of length 1; a row of zeros stays."""
    found: Floats = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return found
