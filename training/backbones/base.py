"""What a backbone is: it owns the ID embeddings and turns them into node embeddings.

A backbone does not know that text exists. What it knows is `tap`, which an alignment may hand it:
it hears of every layer and says what the next layer reads and what the readout takes.

N nodes, d = width of the ID embeddings, D = width of the node embeddings.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from training.graph import Adjacency, TrainGraph
from training.losses import bpr
from training.neighbours import Neighbourhood
from training.sampling import Batch


class Tap(Protocol):
    """(layer, its output) -> (what the next layer reads, what the readout takes), each (N, d).

    On a sampled neighbourhood the output is a level's, and the readout takes the rows `read_S`.
    """

    def __call__(
        self, layer: int, hop_Nd: Tensor, read_S: Tensor | None = None
    ) -> tuple[Tensor, Tensor]: ...


def untapped(layer: int, hop_Nd: Tensor, read_S: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Nothing is added anywhere."""
    return hop_Nd, hop_Nd if read_S is None else hop_Nd[read_S]


class Encoded(NamedTuple):
    """One pass: the embeddings to rank with, shape (N, D), and what `contrast` needs besides."""

    nodes_ND: Tensor
    views: tuple[Tensor, ...] = ()


class Backbone(nn.Module):
    """ID embeddings in, node embeddings out, and the loss terms of the method itself."""

    @dataclass(frozen=True, kw_only=True)
    class Options:
        dim: int = 32
        layers: int = 3

    options: Options
    ranks_against_others = True
    """Whether the items that a batch draws as not liked play a part in ranking."""
    half_precision = False
    """Whether contrasts by the cosine are computed in bfloat16."""

    def __init__(self, graph: TrainGraph, options: Options) -> None:
        super().__init__()
        self.graph, self.options = graph, options
        ego_Nd = torch.empty(graph.nodes, options.dim)
        for side in (ego_Nd[: graph.users], ego_Nd[graph.users :]):
            nn.init.xavier_uniform_(side)
        self.ego_Nd = nn.Parameter(ego_Nd)

    @property
    def width(self) -> int:
        """D, the width of the embeddings that `forward` returns."""
        return self.options.dim

    @property
    def layers(self) -> int:
        """The last layer that a tap hears of; 0 is the ID embeddings."""
        return self.options.layers

    @property
    def walked(self) -> tuple[Adjacency, Tensor] | None:
        """The matrix, structure and values, where node embeddings are made of its powers alone.

        Such a backbone can be trained on sampled neighbourhoods and has `forward_near`.
        """
        return None

    def begin_step(self, step: int) -> None:
        """Draw anew what stays fixed for some steps; `step` counts from 0 in every epoch."""

    def forward(self, ego_Nd: Tensor, tap: Tap) -> Encoded:
        raise TypeError(f"{type(self).__name__} has no forward pass.")

    def forward_near(self, ego_Md: Tensor, tap: Tap, near: Neighbourhood) -> Encoded:
        """Embeddings of a neighbourhood's seeds, shape (S, D), from the ID embeddings it reads."""
        raise TypeError(f"{type(self).__name__} cannot be sampled.")

    def losses(self, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """Named terms, weighted: ranking (BPR), and what the method contrasts."""
        nodes = encoded.nodes_ND
        rank = bpr(nodes[batch.users], nodes[batch.liked], nodes[batch.others])
        return {"rank": rank, **self.contrast(encoded, batch)}

    def contrast(self, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """Terms of the method besides ranking; none by default."""
        return {}
