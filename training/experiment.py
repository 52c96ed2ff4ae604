"""One comparison: the same recommender trained with several seeds, and whether text made it better.

Arrays come in, numbers and embeddings go out; files, terminals and stores are elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, median, stdev
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from errors import TrainingError
from training.alignments import Alignment, Bridge
from training.backbones.base import Backbone
from training.graph import TrainGraph
from training.group import ALONE, Group
from training.metrics import Pairs, Score, evaluate
from training.presets import GRID
from training.recommender import Recommender, build
from training.sampling import Sampler
from training.trainer import METRIC, Plan, Progress, fit

OnEpoch = Callable[[Progress], None]
RANK_STRIDE = 1_000_003
"""Between the seeds of two ranks: more than anybody gives to --seeds."""


@dataclass(frozen=True)
class Spec:
    """Everything about a training that changes its numbers, but the data, the text and the seed."""

    backbone: str = "lightgcn"
    align: str = "none"
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    align_options: Mapping[str, Any] = field(default_factory=dict)
    decay: float = 1e-6
    shuffled: bool = False
    mask_val: bool = False
    half: bool = False
    plan: Plan = field(default_factory=Plan)


@dataclass(frozen=True)
class Task:
    """The data on one device: the training graph, the three parts as sets, and the text.

    The users of `val` and `test` have a training interaction. `cold_test` has the test pairs whose
    user or item has none. `group` are the processes that train on it together, each with all of it.
    """

    graph: TrainGraph
    train: Pairs
    val: Pairs
    test: Pairs
    cold_test: Pairs
    text_HNT: Tensor
    group: Group = ALONE

    @classmethod
    def of(
        cls,
        users: int,
        items: int,
        parts: Sequence[Tensor],
        text_HNT: Tensor,
        device: torch.device,
        group: Group = ALONE,
    ) -> "Task":
        """From the pairs of train, val and test, shape (P, 2) each, and text, shape (H, N, T).

        Raises TrainingError where no user of a part has a training interaction.
        """
        train, val, test = (Pairs.of(users, items, *pairs.to(device).unbind(1)) for pairs in parts)
        graph = TrainGraph.of(users, items, train.user_P, train.item_P)
        warm_N = graph.adjacency.degree_N > 0
        warm_U, warm_I = warm_N[:users], warm_N[users:]
        cold_test = _some(test, ~(warm_U[test.user_P] & warm_I[test.item_P]))
        val, test = (_some(part, warm_U[part.user_P]) for part in (val, test))
        for name, part in (("validation", val), ("test", test)):
            if not len(part.user_P):
                raise TrainingError(
                    f"No user of the {name} part has a training interaction.",
                    hint="Split the data otherwise: python cli.py data split --help",
                )
        return cls(graph, train, val, test, cold_test, text_HNT.to(device), group)


@dataclass(frozen=True)
class Outcome:
    """What one seed came to. `cold` is empty where every node has a training interaction."""

    seed: int
    epochs: int
    best_epoch: int
    epoch_seconds: float
    val: dict[str, float]
    test: dict[str, float]
    cold: dict[str, float]


def device_of(name: str, group: Group = ALONE) -> torch.device:
    """`auto` takes a GPU where there is one. Raises TrainingError for one that is not there.

    Every process of a group takes the GPU of its number on its machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and group.size > 1:
        name = f"cuda:{group.local_rank}"
    try:
        device = torch.device(name)
        torch.ones(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(
            f"--device {name}: {str(error).splitlines()[0]}",
            hint="Use --device auto, or install a torch that was built for this device.",
        ) from error
    return device


def train_seed(
    task: Task, spec: Spec, seed: int, progress: Progress, on_epoch: OnEpoch
) -> tuple[Outcome, Tensor]:
    """Train and test one seed. Returns the outcome and the node embeddings, shape (N, D).

    Everything random (initial values, batches, dropped edges, hidden nodes, shuffled text) follows
    from the seed. `progress` may be one that an earlier call left. The ranks of a group begin with
    the same parameters and draw differently from then on.
    """
    graph, group = task.graph, task.group
    torch.manual_seed(seed)
    model = recommender(task, spec, seed)
    if group.rank:
        torch.manual_seed(seed + group.rank * RANK_STRIDE)

    def validate() -> dict[str, float]:
        score = inner_product(model.embed(), graph.users)
        return evaluate(score, task.val, [task.train], group=group)

    sampler = Sampler(graph, group)
    progress = fit(model, sampler, validate, spec.plan, progress, on_epoch, group)
    nodes_ND = model.embed()
    best = next(e for e in progress.epochs if e.number == progress.best_epoch)
    outcome = Outcome(
        seed=seed,
        epochs=len(progress.epochs),
        best_epoch=progress.best_epoch,
        epoch_seconds=median(e.seconds for e in progress.epochs),
        val=best.val or {},
        test=tested(task, nodes_ND, spec.mask_val),
        cold=cold_tested(task, inner_product(nodes_ND, graph.users), (nodes_ND != 0).any(dim=-1)),
    )
    return outcome, nodes_ND


def recommender(task: Task, spec: Spec, seed: int) -> Recommender:
    """The model of a spec, on the task's device."""
    text_HNT = task.text_HNT
    if spec.shuffled:
        text_HNT = shuffled(text_HNT, task.graph.users, seed)
    model = build(
        spec.backbone,
        spec.align,
        task.graph,
        text_HNT,
        backbone_options=spec.backbone_options,
        align_options=spec.align_options,
        decay=spec.decay,
    )
    for module in model.modules():
        if isinstance(module, (Bridge, Alignment, Backbone)):
            module.half_precision = spec.half
    return model.to(text_HNT.device)


def inner_product(nodes_ND: Tensor, users: int) -> Score:
    """Scores as inner products of a user's and every item's embedding."""
    user_UD, items_ID = nodes_ND[:users], nodes_ND[users:]
    return lambda users_b: user_UD[users_b] @ items_ID.T


def shuffled(text_HNT: Tensor, users: int, seed: int) -> Tensor:
    """The control: users' texts permuted among users, items' among items, all hops alike."""
    random = torch.Generator().manual_seed(seed)
    total = text_HNT.shape[1]
    order = torch.cat(
        [
            torch.randperm(users, generator=random),
            torch.randperm(total - users, generator=random) + users,
        ]
    )
    return text_HNT[:, order.to(text_HNT.device)]


def tested(task: Task, nodes_ND: Tensor, mask_val: bool) -> dict[str, float]:
    """Test metrics; with `mask_val` validation items are not recommended either."""
    hidden = [task.train, task.val] if mask_val else [task.train]
    score = inner_product(nodes_ND, task.graph.users)
    return evaluate(score, task.test, hidden, group=task.group)


def cold_tested(task: Task, score: Score, placed_N: Tensor) -> dict[str, float]:
    """Test Recall@20 of users and items without a training interaction, and how many there are.

    Only of those that `placed_N` says the model knows something of: all items would tie for the
    others, who are counted as `_not_placed`. Cold items compete with all items, and (`_among_cold`)
    with the other cold ones only.
    """
    graph, test = task.graph, task.cold_test
    cold_N = graph.adjacency.degree_N == 0
    cold_I = cold_N[graph.users :]
    found: dict[str, float] = {}

    def recall(score: Score, truth: Pairs, hidden: Sequence[Pairs]) -> float:
        return evaluate(score, truth, hidden, (20,), task.group)["recall@20"]

    def among_cold(users_b: Tensor) -> Tensor:
        return score(users_b).masked_fill(~cold_I, -torch.inf)

    for side, node_P in (("users", test.user_P), ("items", graph.users + test.item_P)):
        known = placed_N[node_P]
        for mask, name in ((known, side), (~known, f"{side}_not_placed")):
            if count := node_P[mask & cold_N[node_P]].unique().numel():
                found[name] = float(count)
        if side not in found:
            continue
        truth = _some(test, known & cold_N[node_P])
        found[f"recall@20_{side}"] = recall(score, truth, [task.train])
        if side == "items":
            found["recall@20_items_among_cold"] = recall(among_cold, truth, [])
    return found


def _some(pairs: Pairs, mask_P: Tensor) -> Pairs:
    return Pairs.of(pairs.users, pairs.items, pairs.user_P[mask_P], pairs.item_P[mask_P])


def tune(
    spec: Spec,
    learn: Callable[[Spec], Outcome],
    on_try: Callable[[dict[str, float], float], None],
) -> dict[str, float]:
    """The weight and temperature of GRID with the best validation Recall@20; `learn` trains one.

    Raises TrainingError for an alignment that has neither.
    """
    if spec.align not in GRID:
        raise TrainingError(
            f"--tune: {spec.align} has no weight and no temperature to choose.",
            hint=f"It is for: {', '.join(GRID)}.",
        )
    grid = GRID[spec.align]
    best: dict[str, float] = {}
    most = -1.0
    for weight in grid["weight"]:
        for temperature in grid["temperature"]:
            tried = {"weight": weight, "temperature": temperature}
            value = learn(replace(spec, align_options={**spec.align_options, **tried})).val[METRIC]
            on_try(tried, value)
            if value > most:
                best, most = tried, value
    return best


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number over seeds."""
    return {name: mean(row[name] for row in rows) for name in rows[0]} if rows else {}


def deviations(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The sample standard deviation of each number over seeds; none of one seed."""
    if len(rows) < 2:
        return {}
    return {name: stdev(row[name] for row in rows) for name in rows[0]}


def paired(
    rows: Mapping[int, Mapping[str, float]], base: Mapping[int, Mapping[str, float]]
) -> dict[str, dict[str, float | None]]:
    """Student's paired t-test over the seeds both have: gain in per cent and two-sided p.

    Empty with fewer than two common seeds. p is 1 where every pair is equal; over a base of 0 there
    is no gain in per cent.
    """
    seeds = sorted(rows.keys() & base.keys())
    if len(seeds) < 2:
        return {}
    found: dict[str, dict[str, float | None]] = {}
    for name in rows[seeds[0]]:
        ours, theirs = [rows[s][name] for s in seeds], [base[s][name] for s in seeds]
        p = float(stats.ttest_rel(ours, theirs).pvalue) if ours != theirs else 1.0
        gain = 100 * (mean(ours) / mean(theirs) - 1) if mean(theirs) else None
        found[name] = {"gain_percent": gain, "p": p}
    return found
