"""Recall@K and NDCG@K over a full ranking, on the device, without a loop over users.

Protocol (RLMRec's): every item is a candidate; items the user took in training are not
recommended; users without an item in the evaluated part do not count. U = users, P = pairs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.group import ALONE, Group

CUTOFFS = (5, 10, 20)
Score = Callable[[Tensor], Tensor]
"""Rows of users, shape (b,) -> their scores for every item, shape (b, items)."""

# Scores held at a time.
CHUNK_CPU, CHUNK_DEVICE = 2**22, 2**27


@dataclass(frozen=True)
class Pairs:
    """A set of user-item pairs, sorted, for look-ups by user."""

    users: int
    items: int
    user_P: Tensor
    item_P: Tensor
    start_U1: Tensor

    @classmethod
    def of(cls, users: int, items: int, user_P: Tensor, item_P: Tensor) -> "Pairs":
        key_P = torch.unique(user_P * items + item_P)
        user_P, item_P = key_P // items, key_P % items
        start_U1 = torch.zeros(users + 1, dtype=torch.long, device=key_P.device)
        start_U1[1:] = torch.bincount(user_P, minlength=users).cumsum(0)
        return cls(users, items, user_P, item_P, start_U1)

    @property
    def count_U(self) -> Tensor:
        return self.start_U1.diff()

    def of_users(self, users_b: Tensor) -> tuple[Tensor, Tensor]:
        """The pairs of these users: places in `users_b`, and items."""
        count_b = self.count_U[users_b]
        place = torch.repeat_interleave(torch.arange(len(users_b), device=users_b.device), count_b)
        within = torch.arange(len(place), device=users_b.device)
        within -= torch.repeat_interleave(count_b.cumsum(0) - count_b, count_b)
        return place, self.item_P[self.start_U1[users_b][place] + within]

    def hold(self, users_bK: Tensor, items_bK: Tensor) -> Tensor:
        """Whether each pair is in the set, same shape."""
        if not len(self.user_P):
            return torch.zeros_like(items_bK, dtype=torch.bool)
        key_P = self.user_P * self.items + self.item_P
        wanted = users_bK * self.items + items_bK
        found = torch.searchsorted(key_P, wanted).clamp(max=len(key_P) - 1)
        return key_P[found] == wanted


def top_items(
    score: Score, users: Tensor, count: int, items: int, hidden: Sequence[Pairs] = ()
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The best items for users, a chunk at a time: users (b,), items (b, count), scores (b, count).

    `hidden` pairs are never recommended.
    """
    chunk = max(1, (CHUNK_DEVICE if users.is_cuda else CHUNK_CPU) // items)
    for start in range(0, len(users), chunk):
        users_b = users[start : start + chunk]
        scores = score(users_b)
        for pairs in hidden:
            scores[pairs.of_users(users_b)] = -torch.inf
        best = scores.topk(min(count, items), dim=-1)
        yield users_b, best.indices, best.values


def hits(
    score: Score, truth: Pairs, hidden: Sequence[Pairs], most: int, group: Group = ALONE
) -> tuple[Tensor, Tensor]:
    """For each user with a true item: which of their `most` best are true, and how many are true.

    Shapes (U', most) and (U',). A process of a group looks at its share of the users.
    """
    users = truth.count_U.nonzero().squeeze(-1)[group.rank :: group.size]
    found = []
    for users_b, items_bK, _ in top_items(score, users, most, truth.items, hidden):
        found.append(truth.hold(users_b.unsqueeze(-1).expand_as(items_bK), items_bK))
    empty = torch.zeros((0, min(most, truth.items)), dtype=torch.bool, device=users.device)
    return torch.cat(found) if found else empty, truth.count_U[users]


def measured(
    hits_UK: Tensor, true_U: Tensor, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, Tensor]:
    """Recall@K = hits / true; NDCG@K with log2 and the ideal over min(K, true). Per user."""
    gain_K = 1 / torch.arange(2, hits_UK.shape[1] + 2, device=hits_UK.device).double().log2()
    found: dict[str, Tensor] = {}
    for k in cutoffs:
        found[f"recall@{k}"] = hits_UK[:, :k].sum(-1) / true_U.double()
    for k in cutoffs:
        ideal_K = gain_K[:k].cumsum(0)
        ideal_U = ideal_K[true_U.clamp(max=len(ideal_K)) - 1]
        found[f"ndcg@{k}"] = (hits_UK[:, :k].double() @ gain_K[:k]) / ideal_U
    return found


def evaluate(
    score: Score,
    truth: Pairs,
    hidden: Sequence[Pairs],
    cutoffs: Sequence[int] = CUTOFFS,
    group: Group = ALONE,
) -> dict[str, float]:
    """The mean of each metric over the users that have a true item, the same on every rank."""
    hits_UK, true_U = hits(score, truth, hidden, max(cutoffs), group)
    per_user = measured(hits_UK, true_U, cutoffs)
    share = len(true_U) * group.size / int((truth.count_U > 0).sum())
    return group.means(
        {name: share * float(v.mean()) if len(v) else 0.0 for name, v in per_user.items()}
    )
