"""Ways to let descriptions shape the recommender. `Alignment` itself is "none".

    ID embeddings --enter--> backbone (its layers tapped) --> ranking, and `losses` besides
                                                        +--> `settle`: what is ranked with

H hops, N nodes, T = width of the text embeddings, d = width of the ID embeddings, D = width of the
node embeddings. Text comes as `text_HNT`: one slice for one hop, L + 1 of them for `--hop all`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.backbones.base import Backbone, Tap, untapped
from training.losses import counted, info_nce, unit
from training.neighbours import Neighbourhood
from training.sampling import Batch


class Entered(NamedTuple):
    """What the backbone gets: ID embeddings and a tap; and which node embeddings have a hidden ID.

    On a sampled neighbourhood, `near`, node embeddings are those of its seeds.
    """

    ego_Nd: Tensor
    tap: Tap = untapped
    hidden_M: Tensor | None = None
    near: Neighbourhood | None = None


class Alignment(nn.Module):
    """No alignment: text plays no part."""

    @dataclass(frozen=True, kw_only=True)
    class Options:
        pass

    options: Options
    half_precision = False
    """Whether contrasts are computed in bfloat16."""
    text_HNT: Tensor
    cold_N1: Tensor
    unknown_N1: Tensor
    """Cold nodes whose text is a zero vector at every hop: there is nothing to place them by."""

    def __init__(self, text_HNT: Tensor, backbone: Backbone, options: Options) -> None:
        super().__init__()
        self.options = options
        self.users = backbone.graph.users
        # A node without a training pair has an ID embedding that nothing was learnt for.
        cold_N1 = (backbone.graph.adjacency.degree_N == 0).unsqueeze(-1)
        silent_N1 = (text_HNT == 0).all(dim=-1).all(dim=0).unsqueeze(-1)
        self.register_buffer("cold_N1", cold_N1, persistent=False)
        self.register_buffer("unknown_N1", cold_N1 & silent_N1, persistent=False)
        self.register_buffer("text_HNT", text_HNT, persistent=False)

    @property
    def text_NT(self) -> Tensor:
        """All hops' embeddings of a node, side by side."""
        return side_by_side(self.text_HNT)

    def seen(self, near: Neighbourhood | None) -> tuple[Tensor, int]:
        """The text of the nodes that a step embeds, users first, and how many users they are."""
        if near is None:
            return self.text_HNT, self.users
        return self.text_HNT[:, near.seeds_S], int((near.seeds_S < self.users).sum())

    def enter(self, ego_Nd: Tensor, near: Neighbourhood | None = None) -> Entered:
        return Entered(ego_Nd, near=near)

    def losses(self, nodes_ND: Tensor, entered: Entered, batch: Batch) -> dict[str, Tensor]:
        return {}

    def settle(self, nodes_ND: Tensor) -> Tensor:
        """Node embeddings to rank with: those of cold nodes from their text, here none at all."""
        return nodes_ND.masked_fill(self.cold_N1, 0)


class Contrastive(Alignment):
    """RLMRec-Con, eq. 16: f(s, e) = exp(cos(σ↓(s), e)/τ), in InfoNCE.

    As in the reference code a user's denominator is all users, an item's the batch's items, and
    the items drawn as not liked are aligned too, except where the backbone has no use for them.
    On a sampled neighbourhood a user's denominator is the batch's users (the paper's wording).
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(Alignment.Options):
        weight: float = 1e-2
        temperature: float = 0.2

    options: Options

    def __init__(self, text_HNT: Tensor, backbone: Backbone, options: Options) -> None:
        super().__init__(text_HNT, backbone, options)
        self.project = Bridge(text_HNT.shape[0] * text_HNT.shape[2], backbone.width)
        self.others_too = backbone.ranks_against_others

    def losses(self, nodes_ND: Tensor, entered: Entered, batch: Batch) -> dict[str, Tensor]:
        text_HNT, count = self.seen(entered.near)
        tau, text_NT = self.options.temperature, side_by_side(text_HNT)
        half = self.half_precision
        users, times = counted(batch.users)
        keys_UD = self.project(text_NT[:count])
        total = info_nce(nodes_ND[users], keys_UD[users], keys_UD, tau, times, half=half)
        sides = [batch.liked, batch.others] if self.others_too else [batch.liked]
        items, places = torch.cat(sides).unique(return_inverse=True)
        text_ID = self.project(text_NT[items])
        for place in places.split(len(batch.users)):
            rows, times = counted(place)
            keys = text_ID[rows]
            total = total + info_nce(nodes_ND[items[rows]], keys, keys, tau, times, times, half)
        return {"align": self.options.weight * total / len(batch.users)}

    def settle(self, nodes_ND: Tensor) -> Tensor:
        """A cold node is its text in the graph's space, as long as its side's warm nodes are."""
        if not self.cold_N1.any():
            return nodes_ND
        text_ND = unit(self.project(self.text_NT))
        return _placed(nodes_ND, text_ND, self.cold_N1, self.users)


class Generative(Alignment):
    """RLMRec-Gen, eq. 17: f(s, e) = exp(cos(s, σ↑(ê))/τ) for nodes whose ID embedding was hidden.

    A share of all nodes is hidden behind one learnt token in each step; there is one pass, and
    ranking sees the same hidden nodes. Every hidden node is rebuilt, whether in the batch or not,
    and its negatives are the other hidden ones, as in the reference code. On a sampled
    neighbourhood the share is hidden among its seeds.
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(Alignment.Options):
        weight: float = 1e-1
        temperature: float = 0.2
        share: float = 0.1

    options: Options

    def __init__(self, text_HNT: Tensor, backbone: Backbone, options: Options) -> None:
        super().__init__(text_HNT, backbone, options)
        self.token_d = nn.Parameter(torch.zeros(backbone.options.dim))
        self.rebuild = Bridge(backbone.width, text_HNT.shape[0] * text_HNT.shape[2])

    def enter(self, ego_Nd: Tensor, near: Neighbourhood | None = None) -> Entered:
        if not self.training:
            return Entered(ego_Nd)
        nodes = len(ego_Nd) if near is None else len(near.seeds_S)
        count = max(int(self.options.share * nodes), 1)
        hidden_M = torch.randperm(nodes, device=ego_Nd.device)[:count]
        rows_M = hidden_M if near is None else near.places[0][hidden_M]
        masked_Nd = ego_Nd.index_copy(0, rows_M, self.token_d.expand(count, -1))
        return Entered(masked_Nd, hidden_M=hidden_M, near=near)

    def losses(self, nodes_ND: Tensor, entered: Entered, batch: Batch) -> dict[str, Tensor]:
        hidden_M = entered.hidden_M
        if hidden_M is None:
            return {}
        text_NT = side_by_side(self.seen(entered.near)[0])
        guess_MT, text_MT = self.rebuild(nodes_ND[hidden_M]), text_NT[hidden_M]
        total = info_nce(
            guess_MT, text_MT, text_MT, self.options.temperature, half=self.half_precision
        )
        return {"align": self.options.weight * total / len(hidden_M)}

    def settle(self, nodes_ND: Tensor) -> Tensor:
        """A cold node is the mean of its side's warm nodes, weighted by f(its text, their e).

        f is proportional to p(s|e)/p(s) (RLMRec, theorem 2), so this is the expected embedding
        given the text; the paper has no cold start, the choice is ours.
        """
        if not self.cold_N1.any():
            return nodes_ND
        guess_NT, text_NT = unit(self.rebuild(nodes_ND)), unit(self.text_NT)
        settled = nodes_ND.clone()
        for side in (slice(0, self.users), slice(self.users, None)):
            cold = self.cold_N1[side].squeeze(-1)
            warm_ND, warm_NT = nodes_ND[side][~cold], guess_NT[side][~cold]
            logits = text_NT[side][cold] @ warm_NT.T / self.options.temperature
            settled[side][cold] = logits.softmax(-1) @ warm_ND
        return settled


class Fusion(Alignment):
    """GaCLLM: h^l = W^l GCN(h^(l-1)), z^l = MLP^l(h^l + P^l T^l); the readout takes z^l.

    The article gives these; where it is silent: W^l starts as the identity, P^l as `start` says,
    the MLP is residual and starts as the identity, layers beyond the last hop read the last hop.
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(Alignment.Options):
        transform: bool = True
        mlp: bool = True

    options: Options

    def __init__(self, text_HNT: Tensor, backbone: Backbone, options: Options) -> None:
        super().__init__(text_HNT, backbone, options)
        dim, layers = backbone.options.dim, range(backbone.layers + 1)
        self.carry = nn.ModuleList(
            _identity(dim) if options.transform else nn.Identity() for _ in layers
        )
        self.text = nn.ModuleList(nn.Linear(text_HNT.shape[2], dim, bias=False) for _ in layers)
        self.mix = nn.ModuleList(Residual(dim) if options.mlp else nn.Identity() for _ in layers)

    def enter(self, ego_Nd: Tensor, near: Neighbourhood | None = None) -> Entered:
        text_HNT, last = self.seen(near)[0], len(self.text_HNT) - 1
        text = [project(text_HNT[min(layer, last)]) for layer, project in enumerate(self.text)]

        def tap(layer: int, hop_Nd: Tensor, read_S: Tensor | None = None) -> tuple[Tensor, Tensor]:
            carried_Nd = self.carry[layer](hop_Nd) if layer else hop_Nd
            read = carried_Nd if read_S is None else carried_Nd[read_S]
            return carried_Nd, self.mix[layer](read + text[layer])

        if not self.training:
            ego_Nd = ego_Nd.masked_fill(self.cold_N1, 0)
        return Entered(ego_Nd, tap, near=near)

    def settle(self, nodes_ND: Tensor) -> Tensor:
        """Cold nodes need nothing: their text is in every layer."""
        return nodes_ND


class Residual(nn.Module):
    """x + W₂ LeakyReLU(W₁ x), the identity at first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(dim, dim), nn.Linear(dim, dim)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, rows: Tensor) -> Tensor:
        added: Tensor = self.outer(nn.functional.leaky_relu(self.inner(rows)))
        return rows + added


class Bridge(nn.Sequential):
    """σ↓ and σ↑: Linear, LeakyReLU, Linear over the mean of both widths; weights Xavier-uniform.

    With `half` its products are in bfloat16; parameters, sums and what comes out stay float32.
    """

    def __init__(self, inner: int, outer: int) -> None:
        middle = (inner + outer) // 2
        first, last = nn.Linear(inner, middle), nn.Linear(middle, outer)
        for layer in (first, last):
            nn.init.xavier_uniform_(layer.weight)
        super().__init__(first, nn.LeakyReLU(), last)
        self.half_precision = False

    def forward(self, rows: Tensor) -> Tensor:
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=self.half_precision):
            found: Tensor = super().forward(rows)
        return found.to(rows.dtype)


def side_by_side(text_HNT: Tensor) -> Tensor:
    """The hops' embeddings of each node in one row, shape (N, H · T)."""
    return torch.cat(list(text_HNT), dim=-1) if len(text_HNT) > 1 else text_HNT[0]


def _identity(dim: int) -> nn.Linear:
    layer = nn.Linear(dim, dim, bias=False)
    nn.init.eye_(layer.weight)
    return layer


def _placed(nodes_ND: Tensor, text_ND: Tensor, cold_N1: Tensor, users: int) -> Tensor:
    """Cold rows from `text_ND` (unit rows), scaled to the mean length of their side's warm rows."""
    length_N = nodes_ND.norm(dim=-1, keepdim=True)
    scale_N = torch.empty_like(length_N)
    for side in (slice(0, users), slice(users, None)):
        warm = ~cold_N1[side]
        scale_N[side] = length_N[side][warm].mean() if warm.any() else 1.0
    return torch.where(cold_N1, text_ND * scale_N, nodes_ND)


ALIGNMENTS: dict[str, type[Alignment]] = {
    "none": Alignment,
    "contrastive": Contrastive,
    "generative": Generative,
    "fusion": Fusion,
}
