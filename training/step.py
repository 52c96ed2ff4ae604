"""One step: loss terms of a batch, gradients, parameters; on the whole graph or a sampled part.

The ID table of a sampled step has a gradient in the rows that were read, and SparseAdam moves these
rows and their moments only, so that nothing in a step is as long as the table. (Adam would move
every row, those without a gradient by their momentum.)
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer, SparseAdam

from errors import UsageError
from training.backbones.base import Backbone
from training.graph import Adjacency
from training.group import Group
from training.neighbours import Neighbours
from training.recommender import Recommender
from training.sampling import Batch


@dataclass(frozen=True)
class Stepper:
    """What a step needs. `neighbours` is None where steps walk the whole graph."""

    model: Recommender
    optimisers: list[Optimizer]
    neighbours: Neighbours | None
    group: Group

    def step(self, batch: Batch, number: int, weight: float = 1.0) -> dict[str, Tensor]:
        """Move the parameters by one batch, of which every rank has its part. Returns its terms.

        `weight` is what the part's mean counts in the mean over the ranks: 1 where all are as long.
        """
        if self.neighbours is None:
            terms = self.model.losses(batch, number)
        else:
            terms = self.model.losses_near(batch, self.neighbours.around(torch.cat(batch)))
        counted = [v if name == "decay" else v * weight for name, v in terms.items()]
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        torch.stack(counted).sum().backward()
        self.group.average_gradients(self.model.parameters())
        for optimiser in self.optimisers:
            optimiser.step()
        return terms


def stepper(
    model: Recommender, learning_rate: float, fanouts: tuple[int, ...], group: Group
) -> Stepper:
    """Steps on the whole graph, or with `fanouts` on sampled neighbourhoods (see `walk`)."""
    parameters = list(model.parameters())
    if not fanouts:
        return Stepper(model, [Adam(parameters, lr=learning_rate)], None, group)
    body = model.backbone
    neighbours = Neighbours(*walk(body, fanouts), fanouts)
    dense = [parameter for parameter in parameters if parameter is not body.ego_Nd]
    optimisers: list[Optimizer] = [SparseAdam([body.ego_Nd], lr=learning_rate)]
    if dense:
        optimisers.append(Adam(dense, lr=learning_rate))
    return Stepper(model, optimisers, neighbours, group)


def walk(body: Backbone, fanouts: tuple[int, ...]) -> tuple[Adjacency, Tensor]:
    """What sampled steps of a backbone walk on.

    Raises UsageError for a backbone that cannot be sampled or another number of layers.
    """
    if body.walked is None:
        raise UsageError(
            f"--fanout: {type(body).__name__} needs the whole graph in every step: its losses or "
            "its edge weights are not those of a sampled neighbourhood.",
            hint="Use --backbone lightgcn or gccf, or leave --fanout out.",
        )
    if len(fanouts) != body.layers:
        raise UsageError(
            f"--fanout has {len(fanouts)} numbers, and the backbone {body.layers} layers.",
            hint=f"Give one a layer: --fanout {','.join(['10'] * body.layers)}.",
        )
    return body.walked
