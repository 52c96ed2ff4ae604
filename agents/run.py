"""One refine run, from a loaded data set to descriptions in Chroma: everything is wired up here."""

import asyncio
import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from heapq import nsmallest
from pathlib import Path
from typing import Any

from agents.ask import Tally
from agents.embed import Embedding, embed
from agents.engines.base import Engine
from agents.engines.local import LOCAL
from agents.harvest import batch_model
from agents.job import Job
from agents.limits import Gate
from agents.models.base import Model
from agents.pace import Pace
from agents.pipeline import Run
from agents.setup import OWN_PROMPTS, Options, carry_out, make_desk, make_job
from errors import Interrupted, RunStopped, StoreError, UsageError
from graph_ops.graph import kind_of
from stores import graph_file
from stores.chroma import Server
from stores.datasets import Dataset
from stores.descriptions import Descriptions
from stores.embedders import Embedder
from stores.ledger import Ledger
from stores.rows import Outcome
from stores.vectors import Vectors

CANDIDATES = 100
"""How many of the busiest users are looked at for one to show."""


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
    engine: Engine = LOCAL,
    server: Server | None = None,
) -> Summary:
    """Describe the nodes of `data` up to `options.hops` and embed what was written.

    The descriptions go into the workspace, or to a Chroma `server`.

    Everything finished is kept, however the run ends. Ctrl-C lets the calls in flight end and
    returns a summary with `stopped`; the second one cancels them.
    """
    started = time.time()
    clock = time.perf_counter()
    run = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    # Opened and read before a question is asked: what is broken is told while nothing was spent.
    descriptions = Descriptions(workspace / "chroma", server)
    if options.limit is not None and descriptions.embedders() - {embedder.name}:
        raise StoreError(
            f"The workspace {workspace} holds embeddings of another embedder than {embedder.name}.",
            hint="With --limit they would be lost: give this run another --workspace.",
        )
    if options.max_cost is not None:
        _refuse_unpriced(model, embedder)
    # For those who look at the run: they read a node's surroundings from there.
    await asyncio.to_thread(graph_file.write, workspace, data)

    with (
        Ledger(workspace / "ledger.sqlite") as ledger,
        Vectors(workspace / "vectors.sqlite", embedder) as vectors,
    ):
        desk = make_desk(run, model, ledger, options, engine)
        tally = desk.tally
        tally.on_change = lambda: watch.on_change(tally)
        if options.batch:
            batch_model(desk.model)
        job = make_job(data, options, desk, workspace / OWN_PROMPTS)
        settings = recorded(options, model, embedder.name, job)
        templates = [prompt.source for prompt in job.manner.prompts.values()]
        await ledger.begin_run(run, started, settings, templates)
        state: dict[str, Any] = {}
        stopped: RunStopped | None = None
        try:
            with stop_on_signals(desk.gate):
                pace = Pace(
                    options.embedding_per_minute.requests, options.embedding_per_minute.tokens
                )
                embedding = Embedding(desk, vectors, pace, watch.on_embedded)
                if embedder.remote:
                    # A wrong address is told before a question is paid.
                    await asyncio.to_thread(embedding.probe)
                machine = Run(job, lambda: embed(job, descriptions, embedding), watch.on_stage)
                state = await carry_out(machine, options.langsmith)
        except RunStopped as stop:
            stopped = stop
            if isinstance(stop, Interrupted):
                stop.hint = desk.gate.farewell
        finally:
            gc.unfreeze()
            ended = "stopped" if stopped else "done" if state else "failed"
            await ledger.end_run(run, time.time(), {"ended": ended, "calls": tally.calls})
        example = _example(job)
    described = [kind_of(node) for node in job.targets]
    return Summary(
        run=run,
        users=described.count("user"),
        items=described.count("item"),
        nodes=tuple(map(len, job.needed)),
        tally=tally,
        embedded=state.get("embedded", 0),
        seconds=time.perf_counter() - clock,
        split=data.split_source,
        stopped=stopped,
        example=example,
    )


@contextmanager
def stop_on_signals(gate: Gate) -> Iterator[None]:
    """Let Ctrl-C stop the gate, and a second one cancel the task."""
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


def _refuse_unpriced(model: Model, embedder: Embedder) -> None:
    for name, price in ((model.name, model.price(1, 1)), (embedder.name, embedder.price(1))):
        if price is None:
            raise UsageError(
                f"--max-cost: no price is known for {name}.",
                hint="Give it one in settings.yaml: models: NAME: {provider, model, endpoint, "
                "input_price, output_price} (dollars for a million tokens; 0 for your own server).",
            )


def recorded(options: Options, model: Model, embedder: str, job: Job) -> dict[str, Any]:
    """What the ledger keeps of how a run was made: no secret is in it."""
    return {
        **asdict(options),
        "model": model.name,
        "endpoint": model.endpoint,
        "embedder": embedder,
        "repeat": job.desk.repeat,
        "prompts": {name: prompt.ref for name, prompt in job.manner.prompts.items()},
        "stages": job.stages,
    }


def _example(job: Job) -> tuple[Outcome, ...]:
    """The hops of one of the busiest users, for a person to read."""
    users = (node for node in job.targets if kind_of(node) == "user")
    busiest = nsmallest(CANDIDATES, users, key=lambda n: (-len(job.graph.adj[n]), n))
    last = job.outcomes(job.hops, busiest)
    found = [node for node in busiest if node in last]
    written = [node for node in found if last[node].status == "written"]
    node = next(iter(written or found), "")
    layers = (job.outcomes(hop, [node]) for hop in range(job.hops + 1))
    return tuple(layer[node] for layer in layers if node in layer)
