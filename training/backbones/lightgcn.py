"""LightGCN and GCCF as RLMRec's reference code has them: propagation without weights."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from training.backbones.base import Backbone, Encoded, Tap
from training.graph import Adjacency, TrainGraph, dropped, propagate
from training.neighbours import Neighbourhood


def walk(
    adjacency: Adjacency, value_E: Tensor, ego_Nd: Tensor, layers: int, tap: Tap, keep: float = 1.0
) -> Iterator[Tensor]:
    """What the readout takes of layers 0 to L, each one propagation further.

    `keep` below 1 thins the graph once for all layers.
    """
    mirrored_E = value_E
    if keep < 1:
        value_E = dropped(value_E, keep)
        mirrored_E = value_E.index_select(0, adjacency.mirror_E)
    hop, read = tap(0, ego_Nd)
    yield read
    for layer in range(1, layers + 1):
        hop, read = tap(layer, propagate(adjacency, value_E, hop, mirrored_E))
        yield read


def walk_near(near: Neighbourhood, ego_Md: Tensor, tap: Tap, keep: float = 1.0) -> Iterator[Tensor]:
    """`walk` for the seeds of a sampled neighbourhood. `keep` below 1 thins each layer anew."""
    hop, read = tap(0, ego_Md, near.places[0])
    yield read
    for layer, block in enumerate(near.blocks, start=1):
        value_e = dropped(block.value_e, keep) if keep < 1 else block.value_e
        hop, read = tap(layer, block.product(value_e, hop), near.places[layer])
        yield read


def summed(layers: Iterator[Tensor]) -> Tensor:
    """Σ over layers: the reference code's readout (LightGCN's own is the mean)."""
    total = next(layers)
    for one in layers:
        total = total + one
    return total


class LightGCN(Backbone):
    """E = Σ_l Ã^l E_0; while training each direction of an edge is kept with probability `keep`."""

    @dataclass(frozen=True, kw_only=True)
    class Options(Backbone.Options):
        keep: float = 0.8

    options: Options

    def forward(self, ego_Nd: Tensor, tap: Tap) -> Encoded:
        graph, keep = self.graph, self.options.keep if self.training else 1.0
        layers = walk(graph.adjacency, graph.weight_E, ego_Nd, self.options.layers, tap, keep)
        return Encoded(summed(layers))

    @property
    def walked(self) -> tuple[Adjacency, Tensor]:
        return self.graph.adjacency, self.graph.weight_E

    def forward_near(self, ego_Md: Tensor, tap: Tap, near: Neighbourhood) -> Encoded:
        return Encoded(summed(walk_near(near, ego_Md, tap, self.options.keep)))


class GCCF(Backbone):
    """E = [E_0 ‖ ÃE_0 ‖ … ‖ Ã^L E_0], so D = (L + 1) d. `loops`: Ã has self-loops.

    The reference code has self-loops for the base model and, by a mistake, none once text is
    aligned; `loops` is there to reproduce both.
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(Backbone.Options):
        layers: int = 2
        loops: bool = True

    options: Options

    def __init__(self, graph: TrainGraph, options: Options) -> None:
        super().__init__(graph, options)
        self.adjacency, self.weight_E = graph.adjacency, graph.weight_E
        if options.loops:
            self.adjacency = graph.adjacency.with_loops()
            self.weight_E = self.adjacency.normalised()

    @property
    def width(self) -> int:
        return self.options.dim * (self.options.layers + 1)

    def forward(self, ego_Nd: Tensor, tap: Tap) -> Encoded:
        layers = walk(self.adjacency, self.weight_E, ego_Nd, self.options.layers, tap)
        return Encoded(torch.cat(list(layers), dim=-1))

    @property
    def walked(self) -> tuple[Adjacency, Tensor]:
        return self.adjacency, self.weight_E

    def forward_near(self, ego_Md: Tensor, tap: Tap, near: Neighbourhood) -> Encoded:
        return Encoded(torch.cat(list(walk_near(near, ego_Md, tap)), dim=-1))
