"""LightGCN as research code writes its training: what `benchmarks.epoch` holds ours against.

The same method and the same numbers of everything, in the plain way: others drawn on the host one
by one with a set of items per user, a DataLoader that is asked row by row, a COO matrix that is
made anew where edges are dropped, and, aligned, all nodes' texts projected in each step. Our own
words, after the bottlenecks found in such code.
"""

import random
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from training.graph import TrainGraph


class Rows(Dataset[tuple[int, int, int]]):
    """User, liked item and another item, a row at a time."""

    def __init__(self, graph: TrainGraph) -> None:
        self.users, self.liked = graph.user_P.tolist(), graph.item_P.tolist()
        self.items = graph.items
        self.taken: list[set[int]] = [set() for _ in range(graph.users)]
        for user, item in zip(self.users, self.liked, strict=True):
            self.taken[user].add(item)
        self.others = [0] * len(self.users)

    def draw(self) -> None:
        """Another item for every row, one that its user did not take."""
        for row, user in enumerate(self.users):
            while True:
                other = random.randrange(self.items)
                if other not in self.taken[user]:
                    break
            self.others[row] = other

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, row: int) -> tuple[int, int, int]:
        return self.users[row], self.liked[row], self.others[row]


class Plain(nn.Module):
    """LightGCN's sum over layers, and RLMRec's contrastive alignment where there is text."""

    def __init__(
        self, graph: TrainGraph, text_NT: Tensor | None, dim: int, layers: int, keep: float
    ) -> None:
        super().__init__()
        self.users, self.layers, self.keep = graph.users, layers, keep
        self.user_Ud = nn.Parameter(nn.init.xavier_uniform_(torch.empty(graph.users, dim)))
        self.item_Id = nn.Parameter(nn.init.xavier_uniform_(torch.empty(graph.items, dim)))
        self.text_NT = text_NT
        if text_NT is not None:
            middle = (text_NT.shape[1] + dim) // 2
            self.project = nn.Sequential(
                nn.Linear(text_NT.shape[1], middle), nn.LeakyReLU(), nn.Linear(middle, dim)
            )
        size = (graph.nodes, graph.nodes)
        edges_2E = graph.edge_index.flip(0)
        self.matrix = torch.sparse_coo_tensor(edges_2E, graph.weight_E, size).coalesce()

    def forward(self) -> Tensor:
        matrix = self.matrix
        if self.keep < 1:
            values, places = matrix.values(), matrix.indices()
            kept = torch.rand(len(values), device=values.device) < self.keep
            matrix = torch.sparse_coo_tensor(places[:, kept], values[kept], matrix.shape)
        reached = torch.cat([self.user_Ud, self.item_Id])
        total = reached
        for _ in range(self.layers):
            reached = torch.sparse.mm(matrix, reached)
            total = total + reached
        return total

    def loss(self, users: Tensor, liked: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """The whole loss and its ranking term, with the weights that ours has."""
        nodes_ND = self()
        user, good, bad = nodes_ND[users], nodes_ND[liked], nodes_ND[others]
        rank = -F.logsigmoid((user * good).sum(-1) - (user * bad).sum(-1)).mean()
        total = rank + 1e-6 * sum(p.norm() ** 2 for p in self.parameters())
        if self.text_NT is not None:
            text_ND = self.project(self.text_NT)
            aligned = contrast(user, text_ND[users], text_ND[: self.users])
            for node, rows in ((good, liked), (bad, others)):
                aligned = aligned + contrast(node, text_ND[rows], text_ND[rows])
            total = total + 0.01 * aligned / len(users)
        return total, rank.detach()


def contrast(anchors_BD: Tensor, positives_BD: Tensor, keys_KD: Tensor) -> Tensor:
    """InfoNCE, summed, at temperature 0.2, all logits at once."""
    anchors_BD, positives_BD, keys_KD = (
        F.normalize(rows) for rows in (anchors_BD, positives_BD, keys_KD)
    )
    agreement_B = (anchors_BD * positives_BD).sum(-1) / 0.2
    return ((anchors_BD @ keys_KD.T / 0.2).exp().sum(-1).log() - agreement_B).sum()


def epochs(model: Plain, graph: TrainGraph, batch: int, rate: float) -> Iterator[float]:
    """An epoch of training for each value taken: its mean ranking loss.

    Time between two values is the epoch's; drawing the other items is part of it.
    """
    random.seed(0)
    rows, device = Rows(graph), graph.weight_E.device
    loader = DataLoader(rows, batch_size=batch, shuffle=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    while True:
        rows.draw()
        ranks = []
        for users, liked, others in loader:
            users, liked, others = (one.to(device) for one in (users, liked, others))
            total, rank = model.loss(users, liked + graph.users, others + graph.users)
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            ranks.append(rank.item())
        yield sum(ranks) / len(ranks)
