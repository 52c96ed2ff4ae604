"""The training loop: epochs of triples, early stopping on validation, a state that resumes exactly.

Protocol (RLMRec's reference code): Adam; validation after epochs 0, `every`, 2 · `every` …; stop
after `patience` validations without a better Recall@20; the best parameters are kept.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from errors import TrainingError
from training.group import ALONE, Group
from training.recommender import Recommender
from training.sampling import Sampler
from training.step import Stepper, stepper

METRIC = "recall@20"
Validate = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train. `batch` is in triples.

    `fanouts`, where there are some, are the neighbours drawn for a node in each step, a number a
    layer, the batch's own first; without them a step walks the whole graph.
    """

    epochs: int = 3000
    batch: int = 4096
    learning_rate: float = 1e-3
    every: int = 3
    patience: int = 5
    fanouts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Epoch:
    """What one epoch left: mean loss terms, seconds without validation, and validation if any."""

    number: int
    terms: dict[str, float]
    seconds: float
    val: dict[str, float] | None = None


@dataclass
class Progress:
    """Everything a run is, so that a stopped one goes on with the very same numbers.

    `random` holds every rank's state.
    """

    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = -1
    best: dict[str, Tensor] = field(default_factory=dict)
    waited: int = 0
    model: dict[str, Tensor] = field(default_factory=dict)
    optimisers: list[dict[str, Any]] = field(default_factory=list)
    random: list[dict[str, Tensor]] = field(default_factory=list)

    @property
    def best_value(self) -> float:
        """The best validation Recall@20 so far."""
        found = (e.val for e in self.epochs if e.number == self.best_epoch)
        return next((val[METRIC] for val in found if val), -1.0)

    def as_dict(self) -> dict[str, Any]:
        """Tensors and plain values only, for torch.save."""
        return {**self.__dict__, "epochs": [asdict(epoch) for epoch in self.epochs]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Progress":
        return cls(**{**values, "epochs": [Epoch(**epoch) for epoch in values["epochs"]]})


def fit(
    model: Recommender,
    sampler: Sampler,
    validate: Validate,
    plan: Plan,
    progress: Progress,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
    group: Group = ALONE,
) -> Progress:
    """Train until validation stops improving; `model` ends with its best parameters.

    Every process of a group calls this with equal parameters and the same `progress`, and hears
    the same of `validate`; `sampler` draws its part of each batch.

    `progress` is where to go on from: an empty one, or one that `on_epoch` was handed after a
    validation. The random state of torch is part of it, so set a seed before building the model.
    Raises TrainingError where the loss is no number any more or the device is out of memory.
    """
    device = model.backbone.ego_Nd.device
    stepping = stepper(model, plan.learning_rate, plan.fanouts, group)
    if progress.epochs:
        model.load_state_dict(progress.model)
        for optimiser, state in zip(stepping.optimisers, progress.optimisers, strict=True):
            optimiser.load_state_dict(state)
        _set_random(progress.random[group.rank], device)
    start = progress.epochs[-1].number + 1 if progress.epochs else 0
    model.train()
    with _told_of_memory(device, plan):
        for number in range(start, plan.epochs):
            if progress.waited >= plan.patience:
                break
            terms, seconds = _epoch(stepping, sampler, plan.batch, number)
            val = validate() if number % plan.every == 0 else None
            progress.epochs.append(Epoch(number, terms, seconds, val))
            if val is not None:
                _judge(progress, val, number, model)
                progress.model = _copied(model.state_dict())
                progress.optimisers = [one.state_dict() for one in stepping.optimisers]
                progress.random = _random(device, group)
            on_epoch(progress)
    model.load_state_dict(progress.best)
    return progress


def _epoch(
    stepping: Stepper, sampler: Sampler, size: int, number: int
) -> tuple[dict[str, float], float]:
    """One pass over the training pairs. The terms' means are read once, at its end."""
    started, steps = time.perf_counter(), 0
    sums: dict[str, Tensor] = {}
    for step, (batch, weight) in enumerate(sampler.parts(size)):
        steps += 1
        for name, value in stepping.step(batch, step, weight).items():
            sums[name] = value.detach() + sums.get(name, 0)
    means = {name: float(total) / steps for name, total in sums.items()}
    means = stepping.group.means(means)
    if not all(map(math.isfinite, means.values())):
        raise TrainingError(
            f"The loss is no number in epoch {number}: {means}.",
            hint="Lower --learning-rate or the weight of the alignment, or raise its temperature.",
        )
    return means, time.perf_counter() - started


def _judge(progress: Progress, val: dict[str, float], number: int, model: Recommender) -> None:
    if val[METRIC] > progress.best_value:
        progress.best_epoch, progress.waited = number, 0
        progress.best = _copied(model.state_dict())
    else:
        progress.waited += 1


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, so that the best parameters take no room on the device."""
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}


def _random(device: torch.device, group: Group) -> list[dict[str, Tensor]]:
    """The random state of every rank."""
    states = [{"cpu": state} for state in group.each(torch.get_rng_state())]
    if device.type == "cuda":
        for known, state in zip(states, group.each(torch.cuda.get_rng_state(device)), strict=True):
            known["cuda"] = state
    return states


def _set_random(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def _told_of_memory(device: torch.device, plan: Plan) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{device} is out of memory: {str(error).splitlines()[0]}",
            hint=f"Lower --batch (it was {plan.batch}) or --dim, or use --device cpu.",
        ) from error
