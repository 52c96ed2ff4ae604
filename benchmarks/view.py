"""The page over a million calls and 50,000 nodes: each page's median answer, and what it costs.

    python -m benchmarks.view [--rows 1000000] [--nodes 50000] [--times 15] [--workspace FOLDER]

The workspace is made first, in a folder that goes away, or in --workspace, where it is kept and
taken again: the ledger of benchmarks.big_ledger, a vector for each paragraph, a trained run. Pages
are asked for over HTTP; nodes, calls and pages of lists differ each time. What is read once and
kept (data, vectors, encoder) is read before, and told. The bar is 300 ms.

Then a run that writes calls as fast as it can, with and without a browser that looks at it every
two seconds, in turns; and the share of a core that looking takes.
"""

import argparse
import asyncio
import http.client
import multiprocessing
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import numpy as np

from benchmarks.big_ledger import fill, world
from settings import Settings
from stores import runs
from stores.datasets import Dataset
from stores.ledger import Ledger
from stores.rows import Call, digest
from stores.sqlite_file import create
from stores.stored_vectors import paragraphs
from stores.trails.calls import texts
from stores.trails.nodes import layer
from stores.trails.reading import LEDGER, reading
from stores.trails.runs import runs as runs_of
from stores.vectors import SCHEMA as VECTORS
from verbs.viewing import Shelf, embedder_of
from viewer.meaning import Meaning
from viewer.server import listening, serve
from viewer.sources import Sources

BAR_MS, TICK_S, ROUND_S, DIM = 300.0, 2.0, 20.0, 384


def make(workspace: Path, rows: int, nodes: int) -> None:
    """Ledger, vectors and a trained run."""
    fill(workspace, rows, nodes)
    draw = np.random.default_rng(0)
    create(workspace / "vectors.sqlite", VECTORS, 0)
    with reading(workspace) as db, closing(sqlite3.connect(workspace / "vectors.sqlite")) as to:
        newest = runs_of(db)[0].id
        for hop in (0, 1, 2):
            hashes = [hash for _, hash in layer(db, newest, hop)]
            for start in range(0, len(hashes), 2000):
                bodies = texts(db, hashes[start : start + 2000]).values()
                pieces = sorted({piece for body in bodies for piece in paragraphs(body)})
                vectors = draw.normal(size=(len(pieces), DIM)).astype("<f4")
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                keyed = zip(pieces, vectors, strict=True)
                rows_ = (("minilm", digest(piece), 40, row.tobytes()) for piece, row in keyed)
                to.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?)", rows_)
        to.commit()
    data = world(nodes, random.Random(1))
    folder = workspace / "runs" / "lightgcn-none-no-text-00000000"
    folder.mkdir(parents=True)
    trained = draw.normal(size=(len(data.users) + len(data.items), 64)).astype(np.float32)
    runs.write_embeddings(folder, runs.Embeddings(list(data.users), list(data.items), trained))
    test = {"recall@20": 0.1, "ndcg@20": 0.1}
    seed = {"seed": 0, "epochs": 1, "best_epoch": 1, "epoch_seconds": 1.0, "test": test}
    told = {"backbone": "lightgcn", "align": "none", "hop": "no-text", "device": "cpu"}
    told |= {"name": folder.name, "settled": "big", "finished": "2026"}
    record = {**told, "seeds": [seed]}
    runs.write_record(folder, record)


def sources(workspace: Path, data: Dataset) -> Sources:
    """What the verb gives the page, with the data at hand."""
    meaning = Meaning(workspace, partial(embedder_of, Settings()))
    return Sources(workspace, lambda: data, meaning, Shelf(workspace).run)


def pages(rows: int, nodes: int, draw: random.Random) -> Iterator[tuple[str, str]]:
    """A name and an address of each page, drawn anew."""
    user, item = f"user:u{draw.randrange(nodes // 2):06}", f"item:i{draw.randrange(nodes // 2):06}"
    call = draw.randrange(1, rows)
    word = draw.choice(["quiet", "sturdy", "honest", "vivid"])
    yield "overview", "/"
    yield "run", "/run"
    yield "fell back", "/fallen"
    yield "fell back, a later page", f"/fallen?after=1:{item}"
    yield "user", f"/node?n={user}"
    yield "item", f"/node?n={item}"
    yield "user, a word traced", f"/node?n={user}&word={word}"
    yield "neighbourhood", f"/node/graph?n={item}"
    yield "nearest by text", f"/node/nearest?n={user}"
    yield "nearest by training", f"/node/nearest?n={item}&by=trained"
    yield "recommended", f"/node/recommended?n={user}"
    yield "reason", f"/node/reason?n={user}&item={item}"
    yield "calls", "/calls"
    yield "calls, a later page", f"/calls?after={call}"
    yield "calls, filtered", f"/calls?status=rejected&stage=hop%201&after={call}"
    yield "calls, slowest", "/calls?order=slowest&repairs=only"
    yield "call", f"/call?id={call}"
    yield "prompts", "/prompts"
    yield "training", "/training"
    yield "search by name", f"/search?q={draw.randrange(nodes // 2)}"
    yield "search by meaning", f"/search/meaning?q={word}+{draw.randrange(1000)}"


def ask(port: int, path: str) -> float:
    """Milliseconds until the whole answer is here."""
    began = time.perf_counter()
    there = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    there.request("GET", path)
    answer = there.getresponse()
    answer.read()
    there.close()
    assert answer.status == 200, (path, answer.status)
    return (time.perf_counter() - began) * 1e3


@contextmanager
def served(workspace: Path, data: Dataset) -> Iterator[int]:
    """The page in a thread; its port."""
    with listening(0) as place:
        port = int(place.getsockname()[1])
        thread = threading.Thread(target=serve, args=(sources(workspace, data), place), daemon=True)
        thread.start()
        yield port


def measure(workspace: Path, data: Dataset, rows: int, nodes: int, times: int) -> None:
    """Medians by page."""
    with served(workspace, data) as port:
        draw = random.Random(5)
        first = {name: ask(port, path) for name, path in pages(rows, nodes, draw)}
        print(f"read once and kept: {sum(first.values()) / 1e3:.1f} s for the first look at all")
        taken: dict[str, list[float]] = {name: [] for name in first}
        for _ in range(times):
            for name, path in pages(rows, nodes, draw):
                taken[name].append(ask(port, path))
        for name, took in taken.items():
            print(f"{name:<28} {statistics.median(took):7.1f} ms  (longest {max(took):.1f})")
        slowest = max(statistics.median(took) for took in taken.values())
        print(f"slowest median {slowest:.1f} ms, bar {BAR_MS:.0f} ms")
        began, polls = time.process_time(), 20
        for _ in range(polls):
            ask(port, "/")
        busy = (time.process_time() - began) / polls
        print(f"a look at a live run: {busy * 1e3:.1f} ms of CPU every {TICK_S:.0f} s, "
              f"{100 * busy / TICK_S:.2f} % of a core")  # fmt: skip


def watch(workspace: Path, nodes: int, pipe: Pipe) -> None:
    """Another process: a page, and a browser that looks at it while it is told to."""
    data = world(nodes, random.Random(1))
    with served(workspace, data) as port:
        ask(port, "/")
        pipe.send("ready")
        looking = False
        while True:
            if pipe.poll(TICK_S if looking else None):
                told = pipe.recv()
                if told == "end":
                    return
                looking = told == "look"
            if looking:
                ask(port, "/")


def write(workspace: Path, seconds: float) -> float:
    """Calls a second that a ledger takes, as many at once as a busy run has."""
    run = f"live-{time.time_ns()}"
    call = Call(
        key="", run=run, stage="hop 1", node="", hop=1, turn=0, attempt=1,
        prompt="refine_user@1:abc", model="far", endpoint="", parameters="{}",
        messages=(("system", "s"), ("user", "u")), reply="", status="accepted", reason="",
        finish="stop", input_tokens=10, output_tokens=5, cost_nanousd=1, started=time.time(),
        latency_ms=20.0,
    )  # fmt: skip
    count = 0

    async def one(ledger: Ledger, until: float, worker: int) -> None:
        nonlocal count
        while time.perf_counter() < until:
            name = f"{run} {worker} {count}"
            await ledger.record(replace(call, key=name, node=f"user:u{worker:06}", reply=name))
            count += 1

    async def all_at_once(ledger: Ledger) -> None:
        await ledger.begin_run(run, time.time(), {"hops": 2, "model": "far"})
        until = time.perf_counter() + seconds
        await asyncio.gather(*(one(ledger, until, worker) for worker in range(64)))
        # Nothing of it is embedded: a run that was done would be looked for in the vectors.
        await ledger.end_run(run, time.time(), {"ended": "stopped", "calls": count})

    with Ledger(workspace / LEDGER) as ledger:
        asyncio.run(all_at_once(ledger))
    return count / seconds


def compare(workspace: Path, nodes: int, rounds: int) -> None:
    """Calls written with and without somebody looking, in turns."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=watch, args=(workspace, nodes, theirs), daemon=True)
    other.start()
    ours.recv()
    rates: dict[bool, list[float]] = {False: [], True: []}
    for round_ in range(2 * rounds):
        looked_at = bool(round_ % 2)
        ours.send("look" if looked_at else "rest")
        rates[looked_at].append(write(workspace, ROUND_S))
    ours.send("end")
    other.join()
    alone, seen = statistics.median(rates[False]), statistics.median(rates[True])
    pairs = ", ".join(f"{b / a:.3f}" for a, b in zip(rates[False], rates[True], strict=True))
    print(f"calls written a second: {alone:.0f} alone, {seen:.0f} looked at: "
          f"{100 * (1 - seen / alone):.1f} % fewer (pairs {pairs})")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=50_000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--workspace", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        workspace = given.workspace or Path(scratch) / "ws"
        if not (workspace / LEDGER).exists():
            make(workspace, given.rows, given.nodes)
        data = world(given.nodes, random.Random(1))
        with reading(workspace) as db:
            (last,) = db.execute("SELECT max(id) FROM calls").fetchone()
        size = (workspace / LEDGER).stat().st_size / 2**30
        print(f"{last:,} calls, {given.nodes:,} nodes, a ledger of {size:.2f} GiB")
        measure(workspace, data, last, given.nodes, given.times)
        compare(workspace, given.nodes, given.rounds)


if __name__ == "__main__":
    main()
