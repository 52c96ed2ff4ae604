"""How training grows: LightGCN without text on made graphs of 10^5 to 10^7 interactions.

    python -m benchmarks.growth [--most 10000000] [--steps 20] [--device auto] [--fanout 10,2,1]

Equal at every size: 20 interactions a user and 40 an item on average, eight in ten of them trained
on, popularity and activity by the same power laws, width, layers, batch, and 1,000 users to
evaluate. Every step walks the whole graph, so an epoch grows with the square of the interactions;
with `--fanout` each size is trained a second time, on sampled neighbourhoods. Of a long epoch only
`--steps` steps are made, and it is told as `~`: the drawing of its triples and as many steps as it
has. Each training is a process of its own, which reads its pairs from a file, so that the peak of
memory is the training's: the interpreter, torch, the graph and the model.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.experiment import Spec, Task, device_of, inner_product, recommender
from training.metrics import Pairs, evaluate
from training.sampling import Sampler
from training.step import stepper

ROOT = Path(__file__).parent.parent
SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
PER_USER, PER_ITEM = 20, 40
ACTIVITY, POPULARITY = 0.5, 0.8
"""The n-th most active user and the n-th most popular item are drawn in proportion to n^-this."""


def power_law(most: int, exponent: float, count: int, random: np.random.Generator) -> Any:
    """`count` numbers below `most`, smaller ones more often, shape (count,)."""
    share = np.cumsum(np.arange(1, most + 1, dtype=np.float64) ** -exponent)
    return np.searchsorted(share, random.random(count) * share[-1]).clip(max=most - 1)


def interactions(count: int, seed: int) -> NDArray[np.int64]:
    """Distinct pairs of users and items in random order, shape (count, 2)."""
    random = np.random.default_rng(seed)
    users, items = count // PER_USER, count // PER_ITEM
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < count:
        some = count - len(keys) + count // 4
        user = power_law(users, ACTIVITY, some, random).astype(np.int64)
        keys = np.unique(
            np.concatenate([keys, user * items + power_law(items, POPULARITY, some, random)])
        )
    keys = random.permutation(keys)[:count]
    return np.stack([keys // items, keys % items], axis=1)


def measured(path: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Seconds and memory of one size, in this process."""
    # PyTorch says of every CSR tensor that CSR is in beta.
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
    pairs = torch.from_numpy(np.load(path))
    count = len(pairs)
    users, items = count // PER_USER, count // PER_ITEM
    held = count // 10
    parts = [pairs[2 * held :], pairs[:held], pairs[held : 2 * held]]
    device = device_of(given.device)
    started = time.perf_counter()
    task = Task.of(users, items, parts, torch.zeros(1, users + items, 1), device)
    settle(device)
    build = time.perf_counter() - started

    torch.manual_seed(0)
    spec = Spec(backbone_options={"dim": given.dim, "layers": 3})
    model, sampler = recommender(task, spec, 0), Sampler(task.graph)
    stepping = stepper(model, 1e-3, given.fanout, task.group)
    model.train()
    started = time.perf_counter()
    epoch = sampler.epoch(given.batch)
    batch = next(epoch)
    settle(device)
    draw = time.perf_counter() - started
    whole = -(-len(sampler) // given.batch)
    steps = []
    for step in range(min(whole, given.steps + 1)):
        started = time.perf_counter()
        stepping.step(batch, step)
        settle(device)
        steps.append(time.perf_counter() - started)
        batch = next(epoch, batch)
    # The first step finds caches cold and the optimiser without its moments.
    step_seconds = statistics.mean(steps[1:] or steps)

    truth = of_some_users(task.test, 1000)
    started = time.perf_counter()
    evaluate(inner_product(model.embed(), users), truth, [task.train])
    return {
        "build": build,
        "draw": draw,
        "step": step_seconds,
        "steps": whole,
        "epoch": draw + step_seconds * whole,
        "scaled": len(steps) < whole,
        "evaluate": time.perf_counter() - started,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "device_peak": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0,
    }


def of_some_users(pairs: Pairs, count: int) -> Pairs:
    """The pairs of some users, drawn among those that have one."""
    users = pairs.count_U.nonzero().squeeze(-1)
    order = torch.randperm(len(users), generator=torch.Generator().manual_seed(0))[:count]
    among = torch.isin(pairs.user_P, users[order.to(users.device)])
    return Pairs.of(pairs.users, pairs.items, pairs.user_P[among], pairs.item_P[among])


def numbers(given: str) -> tuple[int, ...]:
    return tuple(map(int, given.split(",")))


def settle(device: torch.device) -> None:
    """Wait for what the device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_its_own_process(
    count: int, given: argparse.Namespace, fanout: tuple[int, ...]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "pairs.npy"
        np.save(path, interactions(count, seed=0))
        command = [sys.executable, "-m", "benchmarks.growth", "--pairs", str(path)]
        for name in ("dim", "batch", "steps", "device"):
            command += [f"--{name}", str(getattr(given, name))]
        if fanout:
            command += ["--fanout", ",".join(map(str, fanout))]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=SIZES[-1], help="interactions")
    parser.add_argument("--steps", type=int, default=20, help="of an epoch, after a first one")
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--fanout", type=numbers, default=(), help="neighbours a node, by layer")
    parser.add_argument("--pairs", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.pairs is not None:
        print(json.dumps(measured(given.pairs, given)))
        return
    print(
        f"{'interactions':>12} {'step':>7} {'nodes':>9} {'build s':>8} {'draw s':>7} {'step ms':>8}"
        f" {'steps':>6} {'epoch s':>9} {'evaluate s':>11} {'peak GiB':>9} {'on GPU':>7}"
    )
    ways = [(), given.fanout] if given.fanout else [()]
    for count, fanout in ((n, way) for n in SIZES if n <= given.most for way in ways):
        found = in_its_own_process(count, given, fanout)
        epoch = ("~" if found["scaled"] else "") + f"{found['epoch']:.1f}"
        print(
            f"{count:>12,} {'sampled' if fanout else 'whole':>7}"
            f" {count // PER_USER + count // PER_ITEM:>9,} {found['build']:>8.2f}"
            f" {found['draw']:>7.3f} {found['step'] * 1e3:>8.1f} {found['steps']:>6} {epoch:>9}"
            f" {found['evaluate']:>11.2f} {found['peak']:>9.2f} {found['device_peak']:>7.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
