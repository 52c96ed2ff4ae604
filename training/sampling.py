"""Training triples: a user, an item they took, and one they did not. All on the graph's device.

The other item is drawn by its rank among the items that the user did not take, so it is exact
without a rejection loop: if the user's items in order are p_0 < p_1 < …, then the r-th item not
taken is r + the number of k with p_k - k <= r, and that number is one binary search for the whole
epoch (our own way; the reference code draws and rejects row by row on the host).
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from errors import DataError
from training.graph import TrainGraph
from training.group import ALONE, Group


class Batch(NamedTuple):
    """Rows of the node table, shape (B,) each: items are already shifted by the users."""

    users: Tensor
    liked: Tensor
    others: Tensor


class Sampler:
    """Draws epochs of triples, of which each process of a group has its part.

    Raises DataError where no user has an item left to be told from, or a process no triple.
    """

    def __init__(self, graph: TrainGraph, group: Group = ALONE) -> None:
        self._graph, self._group = graph, group
        count_U = torch.bincount(graph.user_P, minlength=graph.users)
        self._start_U = count_U.cumsum(0) - count_U
        self._free_U = graph.items - count_U
        place_P = torch.arange(len(graph.user_P), device=graph.user_P.device)
        # Sorted, because pairs are sorted by user and then by item.
        self._key_P = graph.user_P * (graph.items + 1) + graph.item_P
        self._key_P -= place_P - self._start_U[graph.user_P]
        # Who took every item has nothing to be told from: their rows shape the graph only.
        self._usable = place_P[self._free_U[graph.user_P] > 0]
        if not len(self._usable):
            raise DataError(
                "No user has an item that they did not take, so there is nothing to learn.",
                hint="Train on data with more items.",
            )
        if len(self._usable) < group.size:
            raise DataError(
                f"{group.size} processes cannot share {len(self._usable)} training interactions.",
                hint="Start fewer of them: torchrun --nproc-per-node.",
            )

    def __len__(self) -> int:
        """Triples in an epoch, the whole group's."""
        return len(self._usable)

    def others(self, users_B: Tensor) -> Tensor:
        """For each user an item, uniform among those they did not take in training."""
        free_B = self._free_U[users_B]
        rank_B = (
            torch.rand(len(users_B), device=users_B.device, dtype=torch.double) * free_B
        ).long()
        rank_B = torch.minimum(rank_B, free_B - 1)
        wanted_B = users_B * (self._graph.items + 1) + rank_B
        below_B = torch.searchsorted(self._key_P, wanted_B, right=True)
        return rank_B + below_B - self._start_U[users_B]

    def epoch(self, size: int) -> Iterator[Batch]:
        """Every training interaction once, in random order, each with a fresh other item."""
        return (batch for batch, _ in self.parts(size))

    def parts(self, size: int) -> Iterator[tuple[Batch, float]]:
        """This rank's part of each batch of an epoch, and its length by that of an equal part.

        `size` is the group's, a triple a rank at least. The order is rank 0's, and every rank takes
        each n-th of a batch; a last batch too short for all ranks goes with the one before.
        """
        graph, rank, ranks = self._graph, self._group.rank, self._group.size
        order = torch.randperm(len(self._usable), device=self._usable.device)
        order = self._usable[self._group.same(order)]
        starts = list(range(0, len(order), max(size, ranks)))
        if len(starts) > 1 and len(order) - starts[-1] < ranks:
            starts.pop()
        stops = [*starts[1:], len(order)]
        parts = [order[a + rank : b : ranks] for a, b in zip(starts, stops, strict=True)]
        mine = torch.cat(parts)
        users, liked = graph.user_P[mine], graph.item_P[mine] + graph.users
        triples = torch.stack([users, liked, self.others(users) + graph.users])
        drawn = triples.split([len(part) for part in parts], dim=1)
        for a, b, some in zip(starts, stops, drawn, strict=True):
            yield Batch(*some), some.shape[1] * ranks / (b - a)
