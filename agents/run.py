"""One refine run, from a loaded data set to descriptions in Chroma: everything is wired up here."""

import asyncio
import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import networkx as nx

from agents.ask import Desk, Tally
from agents.checks import prepare
from agents.embed import embed
from agents.job import Job, Mode
from agents.limits import Gate
from agents.models.base import Model
from agents.pipeline import Run, build
from errors import Interrupted, RunStopped, StoreError
from graph_ops.graph import build as build_graph
from graph_ops.graph import nodes_of
from graph_ops.neighbourhood import Sampling, ball, chance
from prompts.library import domain, load, names
from stores.datasets import Dataset
from stores.descriptions import Descriptions
from stores.embedders import Embedder
from stores.ledger import Ledger, Outcome
from stores.vectors import Vectors


@dataclass(frozen=True)
class Options:
    """What a run is told. `limit` None describes every node; `fresh` asks everything anew."""

    hops: int
    limit: int | None = None
    fresh: bool = False
    seed: int = 0
    neighbours: int = 6
    sampling: str = "uniform"
    mode: Mode = "append"
    domain: str = "generic"
    language: str = "English"
    evidence_tokens: int = 1800
    concurrency: int = 16
    thinking_tokens: int = 0


@dataclass(frozen=True)
class Summary:
    """What a run did. `nodes[l]` is how many nodes hop l needed; `example` one node's life."""

    run: str
    users: int
    items: int
    nodes: tuple[int, ...]
    tally: Tally
    embedded: int
    seconds: float
    split: str
    stopped: RunStopped | None = None
    example: tuple[Outcome, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Watch:
    """Who wants to know how a run goes: a new stage and its nodes, a new figure, embedded texts."""

    on_stage: Callable[[str, int], None] = lambda name, nodes: None
    on_change: Callable[[Tally], None] = lambda tally: None
    on_embedded: Callable[[int], None] = lambda texts: None


async def refine(
    data: Dataset,
    workspace: Path,
    model: Model,
    embedder: Embedder,
    options: Options,
    watch: Watch,
) -> Summary:
    """Describe the nodes of `data` up to `options.hops` and embed what was written.

    Everything finished is kept, however the run ends. Ctrl-C lets the calls in flight end and
    returns a summary with `stopped`; the second one cancels them.
    """
    started = time.time()
    clock = time.perf_counter()
    run = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    graph = build_graph(data.users, data.items, data.training)
    sampling = Sampling(options.neighbours, options.sampling, options.seed)
    targets = pick(graph, options.limit, options.seed)
    needed = ball(graph, targets, options.hops, sampling)
    gate = Gate(options.concurrency)
    tally = Tally()
    tally.on_change = lambda: watch.on_change(tally)
    # Opened and read before a question is asked: what is broken is told while nothing was spent.
    descriptions = Descriptions(workspace / "chroma")
    if options.limit is not None and descriptions.embedders() - {embedder.name}:
        raise StoreError(
            f"The workspace {workspace} holds embeddings of another embedder than {embedder.name}.",
            hint="With --limit they would be lost: give this run another --workspace.",
        )
    for name in names():
        load(name)
    language = options.language if model.writes_any_language else None
    prepare(language)

    with (
        Ledger(workspace / "ledger.sqlite") as ledger,
        Vectors(workspace / "vectors.sqlite", embedder) as vectors,
    ):
        repeat = ledger.repeat(options.fresh)
        desk = Desk(
            run=run,
            model=model,
            ledger=ledger,
            gate=gate,
            tally=tally,
            language=language,
            repeat=repeat,
            thinking_tokens=options.thinking_tokens,
        )
        job = Job(
            graph=graph,
            needed=needed,
            sampling=sampling,
            domain=domain(options.domain),
            language=options.language,
            mode=options.mode,
            evidence_tokens=options.evidence_tokens,
            desk=desk,
            limited=options.limit is not None,
        )
        await ledger.begin_run(run, started, _settings(options, model, embedder, repeat))
        state: dict[str, Any] = {}
        stopped: RunStopped | None = None
        try:
            with _stop_on_signals(gate):
                if embedder.remote:
                    # One word, once a workspace: a wrong address is told before a question is paid.
                    await asyncio.to_thread(vectors.embed, ["ready"])
                context = Run(job, _embedding(job, descriptions, vectors, watch), watch.on_stage)
                state = await _machine(context)
        except RunStopped as stop:
            stopped = stop
        finally:
            gc.unfreeze()
            ended = "stopped" if stopped else "done" if state else "failed"
            await ledger.end_run(run, time.time(), {"ended": ended, "calls": tally.calls})
    return Summary(
        run=run,
        users=sum(n.startswith("user:") for n in targets),
        items=sum(n.startswith("item:") for n in targets),
        nodes=tuple(map(len, needed)),
        tally=tally,
        embedded=state.get("embedded", 0),
        seconds=time.perf_counter() - clock,
        split=data.split_source,
        stopped=stopped,
        example=_example(job),
    )


def pick(graph: nx.Graph, limit: int | None, seed: int) -> frozenset[str]:
    """Every node, or `limit` users and `limit` items drawn by hashing."""
    if limit is None:
        return frozenset(graph)
    drawn: set[str] = set()
    for kind in ("user", "item"):
        nodes = nodes_of(graph, "user" if kind == "user" else "item")
        drawn |= set(sorted(nodes, key=lambda n: (chance(seed, "limit", n), n))[:limit])
    return frozenset(drawn)


async def _machine(context: Run) -> dict[str, Any]:
    # A LangSmith variable left in the environment must not send prompts anywhere.
    from langsmith import tracing_context

    with tracing_context(enabled=False):
        return dict(await build().ainvoke({"hop": 0}, context=context))


def _embedding(
    job: Job, descriptions: Descriptions, vectors: Vectors, watch: Watch
) -> Callable[[], int]:
    def on_done(texts: int) -> None:
        job.desk.gate.check()
        watch.on_embedded(texts)

    return lambda: embed(job, descriptions, vectors, on_done)


@contextmanager
def _stop_on_signals(gate: Gate) -> Iterator[None]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        if gate.stopped and task is not None:
            task.cancel()
        gate.stop(Interrupted("Interrupted.", hint="Run the same command again to go on."))

    handled = (signal.SIGINT, signal.SIGTERM)
    # Windows has no loop signal handlers, other threads have no signals: Python's own applies.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        for number in handled:
            loop.add_signal_handler(number, stop)
    try:
        yield
    except asyncio.CancelledError:
        raise Interrupted(
            "Interrupted twice: calls in flight were dropped.",
            hint="Run the same command again to go on.",
            twice=True,
        ) from None
    finally:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            for number in handled:
                loop.remove_signal_handler(number)


def _settings(options: Options, model: Model, embedder: Embedder, repeat: int) -> dict[str, Any]:
    return {
        **vars(options),
        "model": model.name,
        "endpoint": model.endpoint,
        "embedder": embedder.name,
        "repeat": repeat,
    }


def _example(job: Job) -> tuple[Outcome, ...]:
    """The hops of one user whose text grew the most, for a person to read."""
    last = job.layers[-1]
    grown = [n for n in sorted(last) if n.startswith("user:") and last[n].status == "written"]
    node = max(grown, key=lambda n: len(job.graph.adj[n]), default=None)
    if node is None:
        node = next(iter(sorted(last)), None)
    return tuple(layer[node] for layer in job.layers if node in layer)
