"""The training graph as tensors, and the two products that every backbone is made of.

Users are nodes 0..U-1, items are nodes U..U+I-1. N = U + I nodes, P training pairs, E stored
entries (every edge in both directions), D = width.

The structure of a user-item graph is symmetric, so a product's backward pass is the same product
with each entry's value taken from its mirror. That, over one CSR matrix, is what makes training
fast: `benchmarks/propagation.py` measures it against PyG's ways of doing the same.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Torch says of CSR matrices, once a process, that they are beta. Nobody who trains can act on it.
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)


@dataclass(frozen=True)
class Adjacency:
    """A symmetric sparse structure of N × N nodes, its entries sorted by row, then by column."""

    nodes: int
    crow_N1: Tensor
    row_E: Tensor
    col_E: Tensor
    mirror_E: Tensor

    @classmethod
    def of(cls, nodes: int, row_E: Tensor, col_E: Tensor) -> "Adjacency":
        """From entries that hold each edge in both directions; doubles count once."""
        key_E = torch.unique(row_E * nodes + col_E)
        row_E, col_E = key_E // nodes, key_E % nodes
        crow_N1 = torch.zeros(nodes + 1, dtype=torch.long, device=key_E.device)
        crow_N1[1:] = torch.bincount(row_E, minlength=nodes).cumsum(0)
        mirror_E = torch.searchsorted(key_E, col_E * nodes + row_E)
        return cls(nodes, crow_N1, row_E, col_E, mirror_E)

    @property
    def degree_N(self) -> Tensor:
        """How many entries each row has."""
        return self.crow_N1.diff()

    def normalised(self) -> Tensor:
        """The entries of D^-1/2 A D^-1/2, shape (E,); 0 for nodes without an edge."""
        scale_N = self.degree_N.clamp(min=1).to(torch.get_default_dtype()).rsqrt()
        return scale_N[self.row_E] * scale_N[self.col_E]

    def with_loops(self) -> "Adjacency":
        """The same with an edge from every node to itself."""
        self_N = torch.arange(self.nodes, device=self.row_E.device)
        return Adjacency.of(
            self.nodes, torch.cat([self.row_E, self_N]), torch.cat([self.col_E, self_N])
        )

    def to(self, device: torch.device) -> "Adjacency":
        names = ("crow_N1", "row_E", "col_E", "mirror_E")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


@dataclass(frozen=True)
class TrainGraph:
    """Training interactions as a graph. `user_P` and `item_P` are its pairs, items from 0."""

    users: int
    items: int
    user_P: Tensor
    item_P: Tensor
    adjacency: Adjacency
    weight_E: Tensor

    @classmethod
    def of(cls, users: int, items: int, user_P: Tensor, item_P: Tensor) -> "TrainGraph":
        """From the pairs of training interactions; their order plays no part."""
        key_P = torch.unique(user_P * items + item_P)
        user_P, item_P = key_P // items, key_P % items
        row_E = torch.cat([user_P, item_P + users])
        col_E = torch.cat([item_P + users, user_P])
        adjacency = Adjacency.of(users + items, row_E, col_E)
        return cls(users, items, user_P, item_P, adjacency, adjacency.normalised())

    @property
    def nodes(self) -> int:
        return self.users + self.items

    @property
    def edge_index(self) -> Tensor:
        """The edges as PyG's layers take them, shape (2, E): from column to row."""
        return torch.stack([self.adjacency.col_E, self.adjacency.row_E])

    def to(self, device: torch.device) -> "TrainGraph":
        return replace(
            self,
            user_P=self.user_P.to(device),
            item_P=self.item_P.to(device),
            adjacency=self.adjacency.to(device),
            weight_E=self.weight_E.to(device),
        )


def propagate(
    adjacency: Adjacency, value_E: Tensor, nodes_ND: Tensor, mirrored_E: Tensor | None = None
) -> Tensor:
    """Σ over the entries (v, w) of value · nodes[w], for every node v. Shape (N, D).

    Differentiable in the values and in the nodes. `mirrored_E` are the values of the entries'
    mirrors where they are at hand (of a symmetric matrix the values themselves), which spares the
    backward pass a permutation; no gradient goes through them.
    """
    product: Tensor = _Product.apply(adjacency, value_E, nodes_ND, mirrored_E)
    return product


def edge_dots(adjacency: Adjacency, left_ND: Tensor, right_ND: Tensor) -> Tensor:
    """left[v] · right[w] for every entry (v, w). Shape (E,). Differentiable in both."""
    dots: Tensor = _Dots.apply(adjacency, left_ND, right_ND)
    return dots


def dropped(weight_E: Tensor, keep: float) -> Tensor:
    """Each entry kept with probability `keep`, otherwise 0; those kept are not scaled up.

    The two directions of an edge drop independently, as in RLMRec's reference code.
    """
    return weight_E * (torch.rand_like(weight_E) < keep)


def _matrix(adjacency: Adjacency, value_E: Tensor) -> Tensor:
    size = (adjacency.nodes, adjacency.nodes)
    return torch.sparse_csr_tensor(
        adjacency.crow_N1, adjacency.col_E, value_E, size, check_invariants=False
    )


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        adjacency: Adjacency,
        value_E: Tensor,
        nodes_ND: Tensor,
        mirrored_E: Tensor | None,
    ) -> Tensor:
        ctx.adjacency = adjacency
        ctx.save_for_backward(value_E, nodes_ND if ctx.needs_input_grad[1] else None, mirrored_E)
        return _matrix(adjacency, value_E) @ nodes_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[None, Tensor | None, Tensor | None, None]:
        value_E, nodes_ND, mirrored_E = ctx.saved_tensors
        adjacency, grad_ND = ctx.adjacency, grad_ND.contiguous()
        grad_value = grad_nodes = None
        if ctx.needs_input_grad[1]:
            grad_value = _sampled(adjacency, grad_ND, nodes_ND)
        if ctx.needs_input_grad[2]:
            if mirrored_E is None:
                mirrored_E = value_E.index_select(0, adjacency.mirror_E)
            grad_nodes = _matrix(adjacency, mirrored_E) @ grad_ND
        return None, grad_value, grad_nodes, None


class _Dots(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, adjacency: Adjacency, left_ND: Tensor, right_ND: Tensor) -> Tensor:
        ctx.adjacency = adjacency
        ctx.save_for_backward(left_ND, right_ND)
        return _sampled(adjacency, left_ND, right_ND)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_E: Tensor) -> tuple[None, Tensor, Tensor]:
        left_ND, right_ND = ctx.saved_tensors
        adjacency = ctx.adjacency
        grad_left = _matrix(adjacency, grad_E) @ right_ND
        grad_right = _matrix(adjacency, grad_E[adjacency.mirror_E]) @ left_ND
        return None, grad_left, grad_right


def _sampled(adjacency: Adjacency, left_ND: Tensor, right_ND: Tensor) -> Tensor:
    """left @ right.T at the entries only."""
    frame = _matrix(adjacency, torch.zeros_like(adjacency.col_E, dtype=left_ND.dtype))
    found = torch.sparse.sampled_addmm(frame, left_ND.contiguous(), right_ND.T, beta=0.0)
    return found.values()
