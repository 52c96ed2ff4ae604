"""Answers from trained embeddings: what to recommend, what is similar, and why.

Plain arrays: N = U + I rows, users first. Nothing here trains.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


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
    scores = _scores(trained, user)
    scores[trained.taken(user)] = -np.inf
    best = np.argsort(-scores, kind="stable")[:count]
    return [(int(i), float(scores[i])) for i in best if np.isfinite(scores[i])]


def nearest(rows: Floats, row: int, count: int) -> list[tuple[int, float]]:
    """The other rows with the highest cosine to `row`."""
    unit = _unit(rows)
    cosine = unit @ unit[row]
    cosine[row] = -np.inf
    best = np.argsort(-cosine, kind="stable")[: min(count, len(rows) - 1)]
    return [(int(i), float(cosine[i])) for i in best]


def reasons(trained: Trained, user: int, item: int, count: int) -> Reasons:
    """Score, rank among what the user has not taken, and the evidence in the training graph.

    A path's strength is the cosine of the two users times that of the two items (our choice).
    """
    scores, mine = _scores(trained, user), trained.taken(user)
    hidden = np.setdiff1d(mine, [item])
    rivals = np.delete(scores, hidden)
    users_UD, items_ID = _unit(trained.nodes_ND[: trained.users]), _unit(_items(trained))
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


def _scores(trained: Trained, user: int) -> Floats:
    found: Floats = _items(trained) @ trained.nodes_ND[user]
    return found


def _items(trained: Trained) -> Floats:
    return trained.nodes_ND[trained.users :]


def _unit(rows: Floats) -> Floats:
    found: Floats = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return found
