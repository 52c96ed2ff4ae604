"""What the verbs that ask a model share: settings, data, workspace, model and embedder, opened."""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from agents.engines import Order, Workplace, open_engine
from agents.engines.base import Engine
from agents.estimate import estimate as run_estimate
from agents.models import open_model
from agents.models.base import Model
from agents.run import refine
from agents.setup import Options, PerMinute
from errors import Interrupted, UsageError
from settings import Settings, chroma_server, connection, load
from stores.chroma import Server
from stores.connection import Connection
from stores.datasets import Dataset, load_training
from stores.embedders import Embedder, open_embedder
from stores.workspace import claim, occupied, recall, remember
from verbs.flags import said
from verbs.following import followed
from verbs.places import must_be_folder, workspace_of
from verbs.terminal import as_dict, complain, estimate_as_dict, show, show_estimate, watching


@dataclass(frozen=True)
class Session:
    """A workspace held by this process, its data, and how to open what the settings name."""

    workspace: Path
    data: Dataset
    options: Options
    model: Callable[[], Model]
    embedder: Callable[[], Embedder]
    engine: Callable[[Model], AbstractAsyncContextManager[Engine]]
    otlp: str | None = None
    chroma: Server | None = None


@contextmanager
def open_session(
    data: Path, workspace: Path | None, flags: dict[str, Any], told: dict[str, Any], asks: bool
) -> Iterator[Session]:
    """Settle the settings, hold the workspace and load the training data.

    `told` are options that are no settings: hops, limit, fresh, batch, max_cost (dollars), engine,
    ray_address, ray_workers. A session that asks nothing needs no keys.
    """
    settings = load(flags, Path.cwd())
    must_be_folder(data)
    folder = workspace_of(data, workspace)
    with occupied(folder):
        loaded = load_training(data, folder / "split", settings.seed, partial(claim, folder))
        if loaded.change:
            said(f"{loaded.name} has changed since it was last used here: {loaded.change}.")
        options = options_of(settings, loaded, told)

        def reached() -> Connection:
            return connection(settings.reach(settings.model), asks)

        def engine(model: Model) -> AbstractAsyncContextManager[Engine]:
            order = Order(reached(), model, options.language, options.concurrency)
            return open_engine(options.place, order)

        yield Session(
            folder,
            loaded,
            options,
            lambda: open_model(reached()),
            lambda: open_embedder(connection(settings.reach(settings.embedder), asks)),
            engine,
            settings.otlp,
            chroma_server(settings),
        )


async def run(session: Session, as_json: bool) -> int:
    """The main job, shown as it goes; the exit code."""
    model, workspace = session.model(), session.workspace
    server = f"{model.name}@{model.endpoint}"
    model.learnt = recall(workspace, server) or model.learnt
    try:
        async with session.engine(model) as engine:
            with watching(model.name) as watch, followed(workspace, session.otlp):
                summary = await refine(
                    *(session.data, workspace, model, session.embedder(), session.options),
                    *(watch, engine, session.chroma),
                )
    finally:
        await model.close()
    if summary.tally.calls > summary.tally.retried:
        remember(workspace, server, model.learnt)
    show(summary, workspace, session.options.hops)
    if as_json:
        _print(as_dict(summary, workspace, session.options.hops))
    if summary.stopped is None:
        return 3 if summary.tally.failed else 0
    complain(summary.stopped)
    if isinstance(summary.stopped, Interrupted) and summary.stopped.twice:
        # A thread may still be waiting for an embedder; who asks twice wants out now.
        os._exit(summary.stopped.exit_code)
    return summary.stopped.exit_code


async def estimate(session: Session, as_json: bool) -> int:
    """What the main job would ask and cost; nothing is sent."""
    model, embedder = session.model(), session.embedder()
    try:
        with watching(model.name) as watch:
            found = await run_estimate(
                session.data, session.workspace, model, embedder, session.options, watch.on_stage
            )
    finally:
        await model.close()
    show_estimate(found, model.name, embedder.name)
    if as_json:
        _print(estimate_as_dict(found, session.workspace))
    return 0


class Spoken(Protocol):
    """Data that may name its domain and its language."""

    @property
    def domain(self) -> str | None: ...
    @property
    def language(self) -> str | None: ...


def options_of(settings: Settings, data: Spoken, told: dict[str, Any]) -> Options:
    """The options of a run: what was told (hops, limit, fresh, max_cost) over the settings."""
    reach = settings.reach(settings.model)
    dollars = told.get("max_cost")
    if dollars is not None and not math.isfinite(dollars):
        raise UsageError(f"--max-cost: {dollars} is not an amount of money.")
    # The limits at the top of the settings are the model's; an embedder has those under its name.
    embedding = PerMinute()
    if settings.embedder in settings.models:
        named = settings.models[settings.embedder]
        embedding = PerMinute(named.requests_per_minute, named.tokens_per_minute)
    place = Workplace(told.get("engine", "local"), told.get("ray_address"), told.get("ray_workers"))
    if told.get("batch") and place.engine != "local":
        raise UsageError(
            f"--batch and --engine {place.engine} do not go together.",
            hint="The server does the work of a batch: leave --engine out.",
        )
    return Options(
        hops=told["hops"],
        limit=told["limit"],
        fresh=told["fresh"],
        batch=told.get("batch", False),
        place=place,
        max_cost=None if dollars is None else round(dollars * 1e9),
        seed=settings.seed,
        neighbours=settings.neighbours,
        sampling=settings.sampling,
        mode=settings.mode,
        domain=settings.domain or data.domain or "generic",
        language=settings.language or data.language or "English",
        evidence_tokens=settings.evidence_tokens,
        thinking_tokens=settings.thinking_tokens,
        langsmith=settings.langsmith,
        concurrency=reach.concurrency,
        per_minute=PerMinute(reach.requests_per_minute, reach.tokens_per_minute),
        embedding_per_minute=embedding,
    )


def _print(values: dict[str, Any]) -> None:
    print(json.dumps(values, ensure_ascii=False), flush=True)
