"""One backbone and one alignment make a recommender. This is the only file that knows both."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import unknown
from training.alignments import ALIGNMENTS, Alignment
from training.backbones import BACKBONES
from training.backbones.base import Backbone
from training.graph import TrainGraph
from training.losses import squared_norm
from training.neighbours import Neighbourhood
from training.sampling import Batch

OptionsT = TypeVar("OptionsT", bound=Backbone.Options | Alignment.Options)


class Recommender(nn.Module):
    """Embeds users and items, and names every term of its own loss."""

    def __init__(self, backbone: Backbone, alignment: Alignment, decay: float) -> None:
        super().__init__()
        self.backbone, self.alignment, self.decay = backbone, alignment, decay

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """All terms, weighted: the loss is their sum, the log is this dict."""
        self.backbone.begin_step(step)
        entered = self.alignment.enter(self.backbone.ego_Nd)
        encoded: Any = self.backbone(entered.ego_Nd, entered.tap)
        return {
            **self.backbone.losses(encoded, batch),
            **self.alignment.losses(encoded.nodes_ND, entered, batch),
            "decay": self.decay * squared_norm(self),
        }

    def losses_near(self, batch: Batch, near: Neighbourhood) -> dict[str, Tensor]:
        """The same from a sampled neighbourhood of the batch's nodes, at a cost of its own.

        The ID table gets a sparse gradient: the rows that were read. L2 is over these rows, and
        over every other parameter.
        """
        ego_Md = F.embedding(near.nodes_M, self.backbone.ego_Nd, sparse=True)
        entered = self.alignment.enter(ego_Md, near)
        encoded = self.backbone.forward_near(entered.ego_Nd, entered.tap, near)
        local = Batch(*(torch.searchsorted(near.seeds_S, rows) for rows in batch))
        dense = [p.square().sum() for p in self.parameters() if p is not self.backbone.ego_Nd]
        return {
            **self.backbone.losses(encoded, local),
            **self.alignment.losses(encoded.nodes_ND, entered, local),
            "decay": self.decay * torch.stack([ego_Md.square().sum(), *dense]).sum(),
        }

    @torch.no_grad()
    def embed(self) -> Tensor:
        """Node embeddings to rank with, shape (N, D): nothing dropped, hidden or noisy.

        Zero for a node with neither a training interaction nor a text.
        """
        was_training = self.training
        self.eval()
        entered = self.alignment.enter(self.backbone.ego_Nd)
        nodes_ND: Tensor = self.alignment.settle(
            self.backbone(entered.ego_Nd, entered.tap).nodes_ND
        )
        self.train(was_training)
        unknown_N1 = self.alignment.unknown_N1
        return nodes_ND.masked_fill(unknown_N1, 0) if unknown_N1.any() else nodes_ND


def build(
    backbone: str,
    align: str,
    graph: TrainGraph,
    text_HNT: Tensor,
    *,
    backbone_options: Mapping[str, Any],
    align_options: Mapping[str, Any],
    decay: float,
) -> Recommender:
    """Look both up by name and give each the options it declares.

    Raises UsageError for a name or an option that is not known.
    """
    if backbone not in BACKBONES:
        raise unknown("backbone", backbone, BACKBONES)
    if align not in ALIGNMENTS:
        raise unknown("alignment", align, ALIGNMENTS)
    body_type, align_type = BACKBONES[backbone], ALIGNMENTS[align]
    body = body_type(graph, declared(backbone, body_type.Options, backbone_options))
    options = declared(align, align_type.Options, align_options)
    return Recommender(body, align_type(text_HNT, body, options), decay)


def declared(owner: str, options: type[OptionsT], given: Mapping[str, Any]) -> OptionsT:
    """The options of a backbone or an alignment. Raises UsageError for one it does not have."""
    known = [field.name for field in fields(options)]
    for name in given:
        if name not in known:
            raise unknown(f"option of {owner}", name, known)
    return options(**given)
