"""Calls a second of a refine: two Ray workers against one process.

    python -m benchmarks.ray_engine --data DIR [--workers 2] [--concurrency 256] [--share 0.6]

Both ask the same of the same local server, in turns, with so many calls in flight that one process
is bound by its CPU and not by the server. The server is a cheap one that says a share of its
replies badly, as a weak model does: to judge, repair and in the end extract is work, too, and
workers can take it over. With `--share 0` there is little but HTTP, and on two cores the server and
the run's own process need a third of what they have.

Of a run only the asking counts, from the first stage to the last call: starting Ray and embedding
are left out. The CPU time of a call is told as well: what it costs the run's own process is what
bounds a crew of many workers. Leave the machine alone meanwhile.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from agents.engines import Order, Workplace, open_engine
from agents.engines.crew import Crew
from agents.models.openai import OpenAIModel
from agents.run import Watch, refine
from agents.setup import Options
from benchmarks.throughput import far_side
from stores.connection import Connection
from stores.datasets import Dataset, load_training
from stores.embedders import OpenAIEmbedder


@dataclass(frozen=True)
class Figures:
    """Calls a second, and milliseconds of CPU a call in the run's process and in its workers."""

    rate: float
    own_ms: float
    workers_ms: float


def cpu_of(processes: list[psutil.Process]) -> float:
    """Seconds of CPU that some processes have taken."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


async def once(data: Dataset, url: str, place: Workplace, concurrency: int, hops: int) -> Figures:
    """One refine into an empty workspace."""
    far = Connection("openai", "far", url)
    model = OpenAIModel(far)
    options = Options(hops=hops, domain="product", concurrency=concurrency, place=place)
    # Wall clock and CPU at the first stage and at every call.
    times: list[tuple[float, float]] = []
    async with open_engine(place, Order(far, model, "English", concurrency)) as engine:
        while isinstance(engine, Crew) and engine.present < (place.workers or 1):
            await asyncio.sleep(0.1)
        children = psutil.Process().children(recursive=True)
        workers = [child for child in children if child.name().startswith("ray::Worker")]

        def note() -> None:
            times.append((time.perf_counter(), time.process_time()))

        watch = Watch(
            on_stage=lambda name, nodes: None if times else note(), on_change=lambda tally: note()
        )
        before = cpu_of(workers)
        with tempfile.TemporaryDirectory() as folder:
            summary = await refine(
                *(data, Path(folder), model, OpenAIEmbedder(far), options, watch, engine)
            )
        theirs = cpu_of(workers) - before
    await model.close()
    tally = summary.tally
    assert not tally.failed and summary.stopped is None
    seconds, own = (last - first for first, last in zip(times[0], times[-1], strict=True))
    return Figures(tally.calls / seconds, own / tally.calls * 1e3, theirs / tally.calls * 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--share", type=float, default=0.6, help="of replies that are bad")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hops", type=int, default=2)
    given = parser.parse_args()
    places = {"local": Workplace(), "ray": Workplace("ray", workers=given.workers)}
    rates: dict[str, list[float]] = {name: [] for name in places}
    with (
        tempfile.TemporaryDirectory() as home,
        far_side(given.latency, "clumsy", "--share", str(given.share)) as url,
    ):
        data = load_training(given.data, Path(home), 0)
        print(f"{psutil.cpu_count()} cores, {given.workers} workers, {given.concurrency} at once")
        for number in range(given.rounds):
            for name, place in places.items():
                run = once(data, url, place, given.concurrency, given.hops)
                figures = asyncio.run(run)
                rates[name].append(figures.rate)
                print(
                    f"round {number + 1}, {name}: {figures.rate:.0f} calls/s; CPU a call:"
                    f" {figures.own_ms:.2f} ms here, {figures.workers_ms:.2f} ms in workers"
                )
    ratio = statistics.median(rates["ray"]) / statistics.median(rates["local"])
    print(f"ratio of the medians {ratio:.2f}")


if __name__ == "__main__":
    main()
