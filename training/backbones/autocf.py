"""AutoCF: rebuild the interactions around the nodes that their neighbourhoods explain best.

Every `refresh` steps: the best explained nodes (by the cosine to their two-hop neighbourhood, with
Gumbel noise) become seeds; all edges within `depth` hops of a seed are hidden from the encoder;
the decoder attends over what is left and over random pairs of the nodes that lost their edges.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.backbones.base import Backbone, Encoded, Tap
from training.backbones.lightgcn import walk
from training.graph import Adjacency, TrainGraph, edge_dots, propagate
from training.losses import counted, log_partition
from training.sampling import Batch


class Attention(nn.Module):
    """One graph-transformer layer: every node attends over its neighbours, with `heads` heads."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (
            nn.Parameter(nn.init.xavier_uniform_(torch.empty(dim, dim))) for _ in range(3)
        )

    def forward(self, adjacency: Adjacency, nodes_Nd: Tensor) -> Tensor:
        """Logits are clamped to ±10 before exp, as in the reference code. Shape (N, d)."""
        projected = [
            (nodes_Nd @ weight).chunk(self.heads, dim=-1)
            for weight in (self.query, self.key, self.value)
        ]
        ones_N1 = torch.ones_like(nodes_Nd[:, :1])
        heard = []
        for query, key, value in zip(*projected, strict=True):
            logit_E = edge_dots(adjacency, query, key).clamp(-10, 10)
            weighted = propagate(adjacency, logit_E.exp(), torch.cat([value, ones_N1], dim=-1))
            heard.append(weighted[:, :-1] / (weighted[:, -1:] + 1e-8))
        return torch.cat(heard, dim=-1)


class AutoCF(Backbone):
    """Layers of propagation over the visible graph, then attention over the decoder's graph."""

    @dataclass(frozen=True, kw_only=True)
    class Options(Backbone.Options):
        layers: int = 2
        attention_layers: int = 1
        heads: int = 4
        seeds: int = 100
        depth: int = 2
        share: float = 0.2
        refresh: int = 10
        weight: float = 1.0

    options: Options
    ranks_against_others = False

    def __init__(self, graph: TrainGraph, options: Options) -> None:
        super().__init__(graph, options)
        self.attention = nn.ModuleList(
            Attention(options.dim, options.heads) for _ in range(options.attention_layers)
        )
        self.visible, self.decoder = graph.adjacency, graph.adjacency
        self.visible_E = graph.weight_E
        self.explained_N: Tensor | None = None

    @property
    def layers(self) -> int:
        return self.options.layers + self.options.attention_layers

    def begin_step(self, step: int) -> None:
        self.explained_N = None
        if step % self.options.refresh:
            return
        self.explained_N = self.explained()
        seeds = self.explained_N.topk(min(self.options.seeds, self.graph.nodes)).indices
        self.visible, touched_N = self.hide(seeds)
        self.visible_E = self.visible.normalised()
        self.decoder = self.decoded(touched_N)

    def explained(self) -> Tensor:
        """log σ(cos(two-hop neighbourhood, node)) with Gumbel noise, shape (N,).

        The neighbourhood's sum subtracts the node as if the graph had self-loops, which it has
        not: a flaw of the reference code that decides which seeds are drawn, so it is kept.
        """
        adjacency, ego_Nd = self.graph.adjacency, self.ego_Nd
        ones_E = torch.ones_like(self.graph.weight_E)

        def summed(nodes_Nd: Tensor) -> Tensor:
            return propagate(adjacency, ones_E, nodes_Nd, ones_E)

        order_N1 = adjacency.degree_N.to(ego_Nd.dtype).unsqueeze(-1)
        near = summed(ego_Nd) - ego_Nd
        far = (summed(near) - near) - order_N1 * ego_Nd
        far_count = (summed(order_N1) - order_N1) - order_N1
        around = F.normalize((near + far) / (order_N1 + far_count + 1e-8), dim=-1)
        score_N = F.logsigmoid((around * F.normalize(ego_Nd, dim=-1)).sum(-1))
        uniform_N = torch.rand_like(score_N).clamp(1e-8, 1 - 1e-7)
        return score_N - (-uniform_N.log()).log()

    def hide(self, seeds: Tensor) -> tuple[Adjacency, Tensor]:
        """The graph without the edges within `depth` hops of a seed, and whom that touched (N,)."""
        whole = self.graph.adjacency
        reached_N = torch.zeros(whole.nodes, dtype=torch.bool, device=seeds.device)
        reached_N[seeds] = True
        touched_N, frontier_N = reached_N.clone(), reached_N
        row_E, col_E = whole.row_E, whole.col_E
        for hop in range(self.options.depth):
            # The structure is symmetric: whoever has an edge to the frontier is a column of it.
            hidden_E = frontier_N[row_E] | frontier_N[col_E]
            if hop < self.options.depth - 1:
                frontier_N = torch.zeros_like(reached_N)
                frontier_N[row_E[hidden_E]] = True
                touched_N |= frontier_N
            row_E, col_E = row_E[~hidden_E], col_E[~hidden_E]
        return Adjacency.of(whole.nodes, row_E, col_E), touched_N

    def decoded(self, touched_N: Tensor) -> Adjacency:
        """Visible edges, self-loops, and as many random pairs of touched nodes as there are edges.

        A random `share` of all nodes counts as touched too.
        """
        nodes, device = self.graph.nodes, touched_N.device
        some = torch.randint(nodes, (int(nodes * self.options.share),), device=device)
        pool = touched_N.clone()
        pool[some] = True
        pool = pool.nonzero().squeeze(-1)
        count = len(self.graph.weight_E)
        left, right = (pool[torch.randint(len(pool), (count,), device=device)] for _ in range(2))
        self_N = torch.arange(nodes, device=device)
        return Adjacency.of(
            nodes,
            torch.cat([left, right, self_N, self.visible.row_E]),
            torch.cat([right, left, self_N, self.visible.col_E]),
        )

    def forward(self, ego_Nd: Tensor, tap: Tap) -> Encoded:
        """Ranking uses the whole graph for both halves."""
        whole = self.graph.adjacency, self.graph.weight_E
        visible, value_E = (self.visible, self.visible_E) if self.training else whole
        decoder = self.decoder if self.training else self.graph.adjacency
        depth, last = self.options.layers, ego_Nd

        def heard(
            layer: int, hop_Nd: Tensor, read_S: Tensor | None = None
        ) -> tuple[Tensor, Tensor]:
            nonlocal last
            last, read = tap(layer, hop_Nd)
            return last, read

        total = torch.stack(list(walk(visible, value_E, ego_Nd, depth, heard))).sum(0)
        for layer, attention in enumerate(self.attention, depth + 1):
            total = total + heard(layer, attention(decoder, last))[1]
        return Encoded(total)

    def losses(self, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """Rebuild liked pairs and keep nodes apart, by dot products without a temperature."""
        nodes = encoded.nodes_ND
        user_UD, item_ID = nodes[: self.graph.users], nodes[self.graph.users :]
        rebuilt = -(nodes[batch.users] * nodes[batch.liked]).sum(-1).mean()
        users, times = counted(batch.users)
        liked = batch.liked.unique()
        apart = log_partition(nodes[users], user_UD) / len(users)
        apart = apart + log_partition(nodes[liked], item_ID) / len(liked)
        terms = {
            "rank": rebuilt + log_partition(nodes[users], item_ID, times) / len(batch.users),
            "contrast": self.options.weight * apart,
        }
        if self.explained_N is not None:
            terms["infomax"] = -self.explained_N.mean()
        return terms
