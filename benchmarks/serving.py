"""Top-k of a large catalogue: exact search piece by piece, and faiss's index with its recall.

    python -m benchmarks.serving [--most 1000000] [--dim 32] [--queries 50]

Made embeddings: users and items in clusters, items of very different lengths, as popular ones have.
Each user has 50 hidden training items. Memory is what a search takes beside the embeddings: the
process's peak while searching, less what it held before. An exact search of 10^7 items takes as
little as one of 10^6; making an index of them takes a while, so it is asked for with `--most`.
"""

import argparse
import resource
import statistics
import time

import numpy as np
from numpy.typing import NDArray

from training.ann import made
from training.serving import Floats, Trained, recommended

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
TAKEN, COUNT, USERS = 50, 20, 1000


def embeddings(items: int, dim: int) -> NDArray[np.float32]:
    """Users, then items, shape (1000 + items, dim)."""
    random = np.random.default_rng(0)
    rows = USERS + items
    nodes = random.standard_normal((rows, dim), dtype=np.float32) / 2
    nodes += random.standard_normal((200, dim), dtype=np.float32)[random.integers(200, size=rows)]
    nodes[USERS:] *= (random.pareto(3, size=(items, 1)).clip(max=5) + 0.2).astype(np.float32)
    return np.asarray(nodes, dtype=np.float32)


def seconds_each(queries: int, nodes_ND: Floats, items: int, index: object | None) -> list[float]:
    random, taken = np.random.default_rng(1), []
    for user in range(queries):
        chosen = random.choice(items, TAKEN, replace=False)
        taken += [(user, item) for item in chosen]
    trained = Trained(USERS, nodes_ND, np.array(taken, dtype=np.int64))
    spent = []
    for user in range(queries):
        started = time.perf_counter()
        if index is None:
            recommended(trained, user, COUNT)
        else:
            index.best(nodes_ND[user], COUNT, trained.taken(user))  # type: ignore[attr-defined]
        spent.append(time.perf_counter() - started)
    return spent


def peak() -> float:
    """The process's largest size so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=1_000_000, help="items")
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--queries", type=int, default=50)
    given = parser.parse_args()
    print(
        f"{'items':>11} {'exact ms':>9} {'beside MiB':>11} {'index s':>8} {'lists':>6}"
        f" {'looked into':>12} {'ann ms':>7} {'recall@20':>10}"
    )
    for items in (size for size in SIZES if size <= given.most):
        nodes_ND = embeddings(items, given.dim)
        before = peak()
        exact = statistics.median(seconds_each(given.queries, nodes_ND, items, None))
        beside = peak() - before
        started = time.perf_counter()
        index = made(nodes_ND[USERS:], nodes_ND[:USERS])
        build = time.perf_counter() - started
        nearly = statistics.median(seconds_each(given.queries, nodes_ND, items, index))
        print(
            f"{items:>11,} {exact * 1e3:>9.2f} {beside:>11.1f} {build:>8.1f}"
            f" {index.faiss.nlist:>6,} {index.faiss.nprobe:>12,} {nearly * 1e3:>7.2f}"
            f" {index.recall:>10.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
