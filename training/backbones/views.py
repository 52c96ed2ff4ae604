"""SGL and SimGCL: LightGCN that also tells a node's two random views from other nodes'."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.backbones.base import Backbone, Encoded, Tap
from training.backbones.lightgcn import summed, walk
from training.graph import propagate
from training.losses import counted, info_nce
from training.sampling import Batch


class TwoViews(Backbone):
    """Ranks with the whole graph's embeddings, contrasts two views. SGL and SimGCL say which."""

    @dataclass(frozen=True, kw_only=True)
    class Options(Backbone.Options):
        weight: float = 0.1
        temperature: float = 0.2

    options: Options

    def view(self, ego_Nd: Tensor, tap: Tap) -> Tensor:
        raise TypeError(f"{type(self).__name__} has no views.")

    def contrasted(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The users and the items of a batch whose views are contrasted."""
        return batch.users, batch.liked

    def forward(self, ego_Nd: Tensor, tap: Tap) -> Encoded:
        views = (self.view(ego_Nd, tap), self.view(ego_Nd, tap)) if self.training else ()
        graph = self.graph
        whole = walk(graph.adjacency, graph.weight_E, ego_Nd, self.options.layers, tap)
        return Encoded(summed(whole), views)

    def contrast(self, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """InfoNCE of view 1 against view 2, its keys all nodes of the same side."""
        one, two = encoded.views
        users, total = self.graph.users, one.new_zeros(())
        for rows, side in zip(self.contrasted(batch), (two[:users], two[users:]), strict=True):
            rows, times = counted(rows)
            total = total + info_nce(
                one[rows],
                two[rows],
                side,
                self.options.temperature,
                times,
                half=self.half_precision,
            )
        return {"contrast": self.options.weight * total / len(batch.users)}


class SGL(TwoViews):
    """A view is the graph with edges dropped, once for all its layers (edge dropout)."""

    @dataclass(frozen=True, kw_only=True)
    class Options(TwoViews.Options):
        keep: float = 0.8

    options: Options

    def view(self, ego_Nd: Tensor, tap: Tap) -> Tensor:
        graph, keep = self.graph, self.options.keep
        return summed(walk(graph.adjacency, graph.weight_E, ego_Nd, self.options.layers, tap, keep))

    def contrasted(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Items of the batch, liked or not, as in the reference code."""
        return batch.users, torch.cat([batch.liked, batch.others])


class SimGCL(TwoViews):
    """A view is the whole graph with noise of length `noise` after every layer."""

    @dataclass(frozen=True, kw_only=True)
    class Options(TwoViews.Options):
        noise: float = 0.9

    options: Options

    def view(self, ego_Nd: Tensor, tap: Tap) -> Tensor:
        graph = self.graph
        hop, total = tap(0, ego_Nd)
        for layer in range(1, self.options.layers + 1):
            hop = propagate(graph.adjacency, graph.weight_E, hop, graph.weight_E)
            hop = hop + self.options.noise * hop.sign() * F.normalize(torch.rand_like(hop), dim=-1)
            hop, read = tap(layer, hop)
            total = total + read
        return total
