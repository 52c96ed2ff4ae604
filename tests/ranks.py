"""What each of two processes does in test_training_ddp.py: `torchrun … -m tests.ranks`.

Every rank trains on its part; then rank 0 does the same alone, and both ways must have come to the
same. A rank that finds a difference ends with an AssertionError, which torchrun reports.
"""

import copy
import json
import sys
from collections import Counter
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist

from tests.toy_graphs import pairs_of, toy
from training.group import ALONE, Group, joined
from training.recommender import build
from training.sampling import Batch, Sampler
from training.step import stepper
from training.trainer import METRIC, Plan, Progress, fit

GRAPH = toy(users=20, items=16, density=0.3)
ALL = GRAPH.nodes


def made(body, align, **options):
    torch.manual_seed(0)
    text_HNT = torch.randn(1, GRAPH.nodes, 6)
    return build(
        body,
        align,
        GRAPH,
        text_HNT,
        backbone_options={"dim": 4, "layers": 2, **options},
        align_options={},
        decay=1e-3,
    )


def trained(group, body, align, fanouts, batches, **options):
    """Parameters after a step a batch, of which this rank's part is every `size`-th triple.

    And the last gradient: Adam's steps are the same for sums as for means.
    """
    model = made(body, align, **options)
    stepping = stepper(model, 0.05, fanouts, group)
    for number, batch in enumerate(batches):
        part = Batch(*(rows[group.rank :: group.size] for rows in batch))
        weight = len(part.users) * group.size / len(batch.users)
        stepping.step(part, number, weight)
    found = [parameter.detach() for parameter in model.parameters()]
    found += [p.grad.to_dense() for p in model.parameters() if p.grad is not None]
    return torch.cat([one.flatten() for one in found])


def steps(group: Group) -> None:
    """After three steps, the last of an odd length, a group has one process's parameters."""
    torch.manual_seed(5)
    batches = list(Sampler(GRAPH).epoch(30))[:2]
    batches.append(Batch(*(rows[:7] for rows in batches[0])))
    for body, align, fanouts, options in (
        ("lightgcn", "none", (), {"keep": 1.0}),
        ("lightgcn", "fusion", (), {"keep": 1.0}),
        ("gccf", "none", (), {}),
        ("sgl", "none", (), {"keep": 1.0}),
        ("simgcl", "none", (), {"noise": 0.0}),
        ("lightgcn", "none", (ALL, ALL), {"keep": 1.0}),
    ):
        ours = trained(group, body, align, fanouts, batches, **options)
        alone = trained(ALONE, body, align, fanouts, batches, **options)
        case = f"{body}, {align}, {fanouts}"
        torch.testing.assert_close(ours, alone, rtol=1e-4, atol=2e-5, msg=case)


def parts(group: Group) -> None:
    """In an epoch of batches every pair is drawn once, by one rank; and the ranks draw alike."""
    for size in (1, 7, 8, 30, 1000):
        torch.manual_seed(group.rank)
        drawn = list(Sampler(GRAPH, group).parts(size))
        mine = [
            (user, item - GRAPH.users)
            for batch, _ in drawn
            for user, item in zip(batch.users.tolist(), batch.liked.tolist(), strict=True)
        ]
        told: list[Any] = [None] * group.size
        dist.all_gather_object(told, (mine, [(len(batch.users), w) for batch, w in drawn]))
        pairs, counts = zip(*told, strict=True)
        assert Counter(chain(*pairs)) == Counter(pairs_of(GRAPH)), size
        for same_batch in zip(*counts, strict=True):
            lengths, weights = zip(*same_batch, strict=True)
            assert min(lengths) > 0 and max(lengths) - min(lengths) <= 1
            assert sum(weights) == group.size


def shared(group: Group) -> None:
    """Tensors and plain values arrive as they were sent."""
    value = {"a": torch.arange(3), "b": [("x", 1.5, None)]}
    found = group.shared(value if group.rank == 0 else None)
    assert found["a"].tolist() == [0, 1, 2] and found["b"] == value["b"]
    assert group.means({"m": float(group.rank)}) == {"m": 0.5}


def going_on(group: Group) -> None:
    """A run that stopped after a validation goes on with the very same numbers, sampled or not."""
    for fanouts in ((), (2, 2)):
        kept: list[dict[str, Any]] = []
        terms, table = run(group, fanouts, Progress(), 3, kept)
        stopped = Progress.from_dict(group.shared(kept[1]))
        assert stopped.epochs[-1].number == 3
        again, same_table = run(group, fanouts, stopped, 99, [])
        assert again == terms and torch.equal(table, same_table)


def run(
    group: Group, fanouts: tuple[int, ...], progress: Progress, seed: int, kept: list[Any]
) -> tuple[list[dict[str, float]], torch.Tensor]:
    """Seven epochs: their loss terms and the last table; `kept` gets what a checkpoint would."""
    plan = Plan(epochs=7, batch=16, learning_rate=0.02, fanouts=fanouts)

    def keep(now: Progress) -> None:
        if now.epochs[-1].val:
            kept.append(copy.deepcopy(now.as_dict()))

    model = made("lightgcn", "generative")
    torch.manual_seed(seed + group.rank)
    sampler = Sampler(GRAPH, group)
    found = fit(model, sampler, lambda: {METRIC: 0.5}, plan, progress, keep, group)
    return [epoch.terms for epoch in found.epochs], found.model["backbone.ego_Nd"]


def dying(group: Group) -> None:
    """Rank 1 goes without a word; rank 0 waits for it."""
    if group.rank == 1:
        dist.barrier()
        sys.exit(7)
    dist.barrier()
    group.means({"m": 0.0})


if __name__ == "__main__":
    with joined() as group:
        for name in sys.argv[1:]:
            globals()[name](group)
        if group.rank == 0:
            print(json.dumps({"done": sys.argv[1:], "ranks": group.size}))
