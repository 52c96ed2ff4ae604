"""An epoch of training, ours against PyG's LightGCN and against a plain research loop.

    python -m benchmarks.epoch --data DIR [--epochs 5] [--text-width 1536] [--device auto]

Equal in each contest: data, device, seed, Adam with the same rate, batches of the same size (each
training pair once an epoch, in random order, with one other item), layers, width, and the losses:
BPR; L2; contrastive alignment with the same weight, temperature and negatives. Not equal: PyG's
example draws others without looking whether the user took them, and its L2 is over the batch: less
work than ours. Contestants take turns, an epoch each; drawing others and batching are part of it.
Ours is the trainer itself and its own clock: between two epochs it is stopped and resumed, which a
training is not. The ranking loss is shown, so that nobody is fast by not learning.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.nn.models import LightGCN

from benchmarks import research_loop
from stores.arrays import load_arrays
from training.experiment import Spec, Task, device_of, inner_product, recommender
from training.graph import TrainGraph
from training.metrics import evaluate
from training.recommender import Recommender
from training.sampling import Sampler
from training.trainer import METRIC, Plan, Progress, fit

LAYERS, DECAY = 3, 1e-6


@dataclass(frozen=True)
class Work:
    """What every contestant is given."""

    task: Task
    dim: int
    batch: int
    rate: float
    epochs: int


class Epoch(NamedTuple):
    """Seconds of one epoch, and its mean ranking loss."""

    seconds: float
    rank: float


Contestant = Iterator[Epoch]
"""Trains for an epoch for each value taken."""


def load(data: Path, width: int, device: torch.device) -> Task:
    """A data folder with random text: what a text says takes no time."""
    with tempfile.TemporaryDirectory() as home:
        arrays = load_arrays(data, Path(home), 0)
    users, items = len(arrays.users), len(arrays.items)
    parts = [torch.from_numpy(part) for part in (arrays.train, arrays.val, arrays.test)]
    text_HNT = torch.randn(1, users + items, width, generator=torch.Generator().manual_seed(0))
    return Task.of(users, items, parts, text_HNT, device)


def model_of(work: Work, align: str, keep: float) -> Recommender:
    """Our LightGCN as `train` builds it."""
    options = {"dim": work.dim, "layers": LAYERS, "keep": keep}
    torch.manual_seed(0)
    spec = Spec(align=align, backbone_options=options, decay=DECAY)
    return recommender(work.task, spec, 0)


def ours(work: Work, model: Recommender) -> Contestant:
    """The trainer itself, asked to go on for one more epoch each time."""
    progress, sampler, better = Progress(), Sampler(work.task.graph), count(1)
    for number in range(1, work.epochs + 1):
        plan = Plan(number, work.batch, work.rate, every=1, patience=work.epochs)
        progress = fit(model, sampler, lambda: {METRIC: float(next(better))}, plan, progress)
        done = progress.epochs[-1]
        yield Epoch(done.seconds, done.terms["rank"])


def research(work: Work, text_NT: Tensor | None, keep: float) -> Contestant:
    """The loop of `benchmarks.research_loop`."""
    torch.manual_seed(0)
    graph = work.task.graph
    model = research_loop.Plain(graph, text_NT, work.dim, LAYERS, keep).to(graph.weight_E.device)
    return clocked(research_loop.epochs(model, graph, work.batch, work.rate), work)


def pyg(work: Work) -> Contestant:
    """PyG's model in the loop of PyG's example; like ours it sums its layers."""
    torch.manual_seed(0)
    graph = work.task.graph
    model = LightGCN(graph.nodes, work.dim, LAYERS, alpha=1.0).to(graph.weight_E.device)
    return clocked(pyg_epochs(model, graph, work), work)


def pyg_epochs(model: LightGCN, graph: TrainGraph, work: Work) -> Iterator[float]:
    device, edge_index = graph.weight_E.device, graph.edge_index
    optimiser = torch.optim.Adam(model.parameters(), lr=work.rate)
    pairs_2P = torch.stack([graph.user_P, graph.item_P + graph.users])
    loader = DataLoader(range(len(graph.user_P)), batch_size=work.batch, shuffle=True)  # type: ignore[arg-type, var-annotated]
    while True:
        ranks = []
        for rows in loader:
            liked_2B = pairs_2P[:, rows.to(device)]
            others = torch.randint(graph.users, graph.nodes, (len(rows),), device=device)
            asked = torch.cat([liked_2B, torch.stack([liked_2B[0], others])], dim=1)
            good, bad = model(edge_index, asked).chunk(2)
            nodes = torch.cat([*liked_2B, others])
            loss = model.recommendation_loss(good, bad, nodes, lambda_reg=DECAY)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            ranks.append(F.softplus(bad - good).mean().item())
        yield sum(ranks) / len(ranks)


def clocked(epochs: Iterator[float], work: Work) -> Contestant:
    device = work.task.graph.weight_E.device
    while True:
        settle(device)
        started = time.perf_counter()
        rank = next(epochs)
        settle(device)
        yield Epoch(time.perf_counter() - started, rank)


def settle(device: torch.device) -> None:
    """Wait for what the device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def race(title: str, contest: dict[str, Contestant], work: Work) -> None:
    """Let the contestants take turns, the first epoch of each uncounted, and print a table."""
    run: dict[str, list[Epoch]] = {name: [] for name in contest}
    for _ in range(work.epochs):
        for name, contestant in contest.items():
            run[name].append(next(contestant))
    took = {name: statistics.median(e.seconds for e in some[1:]) for name, some in run.items()}
    print(f"\n{title:<40} {'s an epoch':>11} {'ours is faster by':>18} {'ranking loss':>13}")
    for name, seconds in took.items():
        ratio, rank = seconds / took["ours"], run[name][-1].rank
        print(f"{name:<40} {seconds:>11.3f} {ratio:>17.2f}x {rank:>13.4f}")


def evaluation(work: Work, model: Recommender) -> float:
    """Seconds of one full test: embeddings, every user against every item, six metrics."""
    task = work.task
    settle(task.graph.weight_E.device)
    started = time.perf_counter()
    evaluate(inner_product(model.embed(), task.graph.users), task.test, [task.train])
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=5, help="each, the first is not counted")
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--text-width", type=int, default=1536)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    if given.epochs < 2:
        parser.error("--epochs: at least 2, as the first is not counted")
    # PyTorch says of sparse tensors that CSR is in beta and that it does not check them.
    warnings.filterwarnings("ignore", message="Sparse")
    task = load(given.data, given.text_width, device_of(given.device))
    work = Work(task, given.dim, given.batch, given.learning_rate, given.epochs)
    graph, text_NT = task.graph, task.text_HNT[0]
    print(
        f"{graph.users:,} users, {graph.items:,} items, {len(graph.user_P):,} training pairs,"
        f" {graph.weight_E.device}, {torch.get_num_threads()} threads; medians of"
        f" {work.epochs - 1} epochs"
    )
    whole = model_of(work, "none", 1.0)
    contests = {
        "no text, the whole graph": {
            "ours": ours(work, whole),
            "PyG LightGCN, DataLoader": pyg(work),
            "research loop": research(work, None, 1.0),
        },
        "no text, edges kept with 0.8": {
            "ours": ours(work, model_of(work, "none", 0.8)),
            "research loop": research(work, None, 0.8),
        },
        f"contrastive, text of {given.text_width}, edges 0.8": {
            "ours": ours(work, model_of(work, "contrastive", 0.8)),
            "research loop": research(work, text_NT, 0.8),
        },
    }
    for title, contest in contests.items():
        race(title, contest, work)
    tests = [evaluation(work, whole) for _ in range(work.epochs)]
    print(f"\nfull test of ours: {statistics.median(tests):.3f} s (median of {len(tests)})")


if __name__ == "__main__":
    main()
