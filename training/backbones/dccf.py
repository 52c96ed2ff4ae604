"""DCCF: global intents, and edges weighted by how well their two ends agree.

Per layer, from E_i:  local = ÃE_i;  intent = softmax(E_i C)Cᵀ, each side with its own C;
an edge's weight is (cos + 1)/2 of its ends, once in `local` and once in `intent`, normalised over
each row;  E_{i+1} = local + intent + both weighted sums + E_i.  E = Σ_i E_i.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.backbones.base import Backbone, Encoded, Tap
from training.graph import TrainGraph, edge_dots, propagate
from training.losses import info_nce, unit
from training.sampling import Batch


class DCCF(Backbone):
    """The layers' four parts of one node should agree; others of the batch are the negatives."""

    @dataclass(frozen=True, kw_only=True)
    class Options(Backbone.Options):
        layers: int = 2
        intents: int = 128
        weight: float = 1e-3
        temperature: float = 0.1

    options: Options

    def __init__(self, graph: TrainGraph, options: Options) -> None:
        super().__init__(graph, options)
        shape = (options.dim, options.intents)
        self.user_intents, self.item_intents = (
            nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape))) for _ in range(2)
        )

    def forward(self, ego_Nd: Tensor, tap: Tap) -> Encoded:
        graph, views = self.graph, []
        hop, total = tap(0, ego_Nd)
        for layer in range(1, self.options.layers + 1):
            local = propagate(graph.adjacency, graph.weight_E, hop, graph.weight_E)
            intent = self.by_intent(hop)
            adapted = [self.by_agreement(ends, hop) for ends in (local, intent)]
            views += [local, intent, *adapted]
            hop, read = tap(layer, local + intent + adapted[0] + adapted[1] + hop)
            total = total + read
        return Encoded(total, tuple(views))

    def by_intent(self, hop_Nd: Tensor) -> Tensor:
        """Every node as a mixture of its side's intents."""
        sides = hop_Nd.split([self.graph.users, self.graph.items])
        both = zip(sides, (self.user_intents, self.item_intents), strict=True)
        return torch.cat([(side @ intents).softmax(-1) @ intents.T for side, intents in both])

    def by_agreement(self, ends_Nd: Tensor, hop_Nd: Tensor) -> Tensor:
        """The neighbours' mean, weighted by the cosine of each edge's two ends."""
        adjacency, ends_Nd = self.graph.adjacency, unit(ends_Nd)
        alpha_E = (edge_dots(adjacency, ends_Nd, ends_Nd) + 1) / 2
        ones_N1 = torch.ones_like(hop_Nd[:, :1])
        both = propagate(adjacency, alpha_E, torch.cat([hop_Nd, ones_N1], dim=-1), alpha_E)
        return both[:, :-1] / both[:, -1:].clamp(min=1e-8)

    def contrast(self, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """Σ over layers and parts of InfoNCE(local, part), its keys the batch's own rows.

        Both sides are divided by the number of distinct users, as in the reference code.
        """
        users, items = batch.users.unique(), batch.liked.unique()
        total = encoded.nodes_ND.new_zeros(())
        for first in range(0, len(encoded.views), 4):
            local, *parts = encoded.views[first : first + 4]
            for part in parts:
                for rows in (users, items):
                    keys = part[rows]
                    total = total + info_nce(
                        local[rows], keys, keys, self.options.temperature, half=self.half_precision
                    )
        return {"contrast": self.options.weight * total / len(users)}
