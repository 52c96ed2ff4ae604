"""Calls a second: a whole refine, ledger and checks included, against the bare openai client.

    python -m benchmarks.throughput --data DIR [--concurrency 64] [--latency 0.2] [--rounds 3]

Both send the same messages to the same local server, which answers after `--latency`; they take
turns. Of a refine only the asking counts, from the first call to the last; embedding goes to the
same server and is left out. A heartbeat every 5 ms measures the event loop's gaps.
"""

import argparse
import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from agents.ask import Tally
from agents.models.openai import OpenAIModel
from agents.replies import Profile
from agents.run import Watch, refine
from agents.setup import Options
from graph_ops.graph import build
from graph_ops.neighbourhood import Sampling
from stores.connection import Connection
from stores.datasets import Dataset, load_training
from stores.embedders import OpenAIEmbedder

Messages = list[dict[str, str]]
ROOT = Path(__file__).parent.parent


@contextmanager
def far_side(latency: float, module: str = "server", *more: str) -> Iterator[str]:
    """A test server in a process of its own; gives its address."""
    command = [sys.executable, "-m", f"tests.far_side.{module}", "--latency", str(latency), *more]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.terminate()


async def heartbeat(gaps: list[tuple[float, float]]) -> None:
    """Note when a sleep of 5 ms ended, and how much too late."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        gaps.append((now, now - before - 0.005))


async def bare(url: str, questions: list[Messages], concurrency: int) -> float:
    """Calls/s of openai.AsyncOpenAI on its default transport, `concurrency` at a time."""
    import openai

    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    schema = {"name": "reply", "strict": True, "schema": Profile.model_json_schema()}
    left = iter(questions)

    async def worker() -> None:
        for messages in left:
            request: Any = {
                "model": "far",
                "messages": messages,
                "response_format": {"type": "json_schema", "json_schema": schema},
                "temperature": 0.0,
                "extra_body": {"max_tokens": 400},
            }
            await client.chat.completions.create(**request)

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    rate = len(questions) / (time.perf_counter() - started)
    await client.close()
    return rate


def asked(ledger: Path) -> list[Messages]:
    """The messages of every call in a ledger, as they were sent."""
    with closing(sqlite3.connect(ledger)) as db:
        texts = dict(db.execute("SELECT hash, body FROM texts"))
        rows = db.execute("SELECT messages FROM calls WHERE stage != 'embedding'").fetchall()
    return [
        [{"role": role, "content": texts[name]} for role, name in json.loads(messages)]
        for (messages,) in rows
    ]


async def whole(
    data: Dataset, url: str, concurrency: int, hops: int
) -> tuple[float, list[Messages], list[float]]:
    """Calls/s of a refine, what it asked, and the event loop's gaps in seconds."""
    model = OpenAIModel(Connection("openai", "far", url))
    embedder = OpenAIEmbedder(Connection("openai", "far", url))
    times: list[float] = []
    gaps: list[tuple[float, float]] = []
    options = Options(hops=hops, domain="product", concurrency=concurrency)

    def on_change(tally: Tally) -> None:
        times.append(time.perf_counter())

    beat = asyncio.create_task(heartbeat(gaps))
    with tempfile.TemporaryDirectory() as folder:
        started = 0.0

        def on_stage(name: str, nodes: int) -> None:
            nonlocal started
            started = started or time.perf_counter()

        watch = Watch(on_stage=on_stage, on_change=on_change)
        summary = await refine(data, Path(folder), model, embedder, options, watch)
        questions = asked(Path(folder) / "ledger.sqlite")
    beat.cancel()
    await model.close()
    assert not summary.tally.failed and not summary.tally.fallback
    during = [gap for when, gap in gaps if started <= when <= times[-1]]
    return summary.tally.calls / (times[-1] - started), questions, during


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hops", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, far_side(given.latency) as url:
        data = load_training(given.data, Path(home), 0)
        nodes = len(build(data.users, data.items, data.training))
        print(f"{nodes} nodes, {Sampling().k} neighbours, {url}, {given.concurrency} at once")
        ratios, longest = [], []
        for number in range(given.rounds):
            ours, questions, gaps = asyncio.run(whole(data, url, given.concurrency, given.hops))
            base = asyncio.run(bare(url, questions, given.concurrency))
            ratios.append(ours / base)
            longest.append(max(gaps))
            above = sum(gap > 0.05 for gap in gaps)
            print(
                f"round {number + 1}: refine {ours:.0f} calls/s ({len(questions)} calls), bare"
                f" client {base:.0f} calls/s, ratio {ours / base:.2f}, longest gap"
                f" {max(gaps) * 1e3:.0f} ms, {above} gaps over 50 ms"
            )
        print(
            f"median ratio {statistics.median(ratios):.2f}, longest gap (median of rounds)"
            f" {statistics.median(longest) * 1e3:.0f} ms"
        )


if __name__ == "__main__":
    main()
