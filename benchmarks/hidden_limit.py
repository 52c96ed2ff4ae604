"""A limit that the server does not tell and that changes: how much of it is used.

    python -m benchmarks.hidden_limit --data DIR [--limits 600,120,600] [--phase 60]

A whole `refine` against the test server, which refuses what is over a bucket of one second's
requests. The ideal is a client that knows the limit at every moment.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from agents.ask import Tally
from agents.models.openai import OpenAIModel
from agents.run import Watch, refine
from agents.setup import Options
from stores.connection import Connection
from stores.datasets import load_training
from stores.embedders import OpenAIEmbedder

ROOT = Path(__file__).parent.parent


def ideal(calls: int, limits: list[float], phase: float) -> float:
    """Seconds that `calls` calls take at the limits, the last of which stays."""
    seconds, left = 0.0, float(calls)
    for limit in limits[:-1]:
        share = min(left, limit / 60 * phase)
        left -= share
        seconds += share / (limit / 60)
    return seconds + left / (limits[-1] / 60)


async def asking(data: Path, url: str, concurrency: int, users: int) -> tuple[int, float]:
    """Answers and seconds from the first stage to the last answer of a refine."""
    model = OpenAIModel(Connection("openai", "far", url))
    embedder = OpenAIEmbedder(Connection("openai", "far", url))
    times: list[float] = []

    def on_change(tally: Tally) -> None:
        times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as home:
        loaded = load_training(data, Path(home), 0)
        options = Options(hops=1, limit=users, concurrency=concurrency)
        watch = Watch(on_stage=lambda name, nodes: times.append(time.perf_counter()))
        watch = Watch(on_stage=watch.on_stage, on_change=on_change)
        summary = await refine(loaded, Path(home), model, embedder, options, watch)
    await model.close()
    tally = summary.tally
    assert not tally.failed and not tally.fallback
    return tally.calls - tally.retried, times[-1] - times[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limits", default="600,120,600")
    parser.add_argument("--phase", type=float, default=60.0)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--limit", type=int, default=300, help="users and items")
    given = parser.parse_args()
    command = [sys.executable, "-m", "tests.far_side.server", "--latency", str(given.latency)]
    command += ["--limits", given.limits, "--phase", str(given.phase)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        try:
            answers, seconds = asyncio.run(asking(given.data, url, given.concurrency, given.limit))
            with urllib.request.urlopen(f"{url}/stats") as reply:
                stats = json.load(reply)
        finally:
            server.terminate()
    least = ideal(answers, [float(limit) for limit in given.limits.split(",")], given.phase)
    print(
        f"{answers} answers in {seconds:.0f} s, ideal {least:.0f} s: {least / seconds:.0%};"
        f" {stats['refused']} of {stats['asked']} calls refused:"
        f" {stats['refused'] / stats['asked']:.1%}"
    )


if __name__ == "__main__":
    main()
