"""What a run and an estimate of one have in common: options, the desk, the job, the machine."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx

from agents.ask import Desk, Tally
from agents.checks import prepare
from agents.engines import HERE, Workplace
from agents.engines.base import Engine
from agents.engines.local import LOCAL
from agents.job import Job
from agents.limits import Gate
from agents.manner import Manner, Mode
from agents.models.base import Model
from agents.pace import Pace
from agents.pipeline import Run, build
from agents.purse import Purse
from agents.replies import reply_class
from graph_ops.graph import build as build_graph
from graph_ops.graph import nodes_of
from graph_ops.neighbourhood import Sampling, ball, chance
from prompts.library import domain
from prompts.overrides import in_force
from stores.datasets import Dataset
from stores.ledger import Ledger

OWN_PROMPTS = "prompts"
"""The folder of a workspace whose prompts take the place of the shipped ones."""


@dataclass(frozen=True)
class PerMinute:
    """Limits of a server, where the settings name some."""

    requests: float | None = None
    tokens: float | None = None


@dataclass(frozen=True)
class Options:
    """What a run is told. `limit` None describes every node; `fresh` asks everything anew.

    `max_cost` is the most it may spend, in nano-dollars; `batch` asks by the Batch API; `place` is
    where the work is done.
    """

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
    per_minute: PerMinute = PerMinute()
    embedding_per_minute: PerMinute = PerMinute()
    max_cost: int | None = None
    batch: bool = False
    place: Workplace = HERE
    langsmith: bool = False


def make_desk(
    run: str, model: Model, ledger: Ledger, options: Options, engine: Engine = LOCAL
) -> Desk:
    """The desk of a run, with its limits."""
    language = options.language if model.writes_any_language else None
    prepare(language)
    return Desk(
        run=run,
        model=model,
        ledger=ledger,
        gate=Gate(
            options.concurrency,
            pace=Pace(options.per_minute.requests, options.per_minute.tokens),
            purse=Purse(options.max_cost),
        ),
        tally=Tally(),
        language=language,
        repeat=ledger.repeat(options.fresh),
        thinking_tokens=options.thinking_tokens,
        batch=options.batch,
        engine=engine,
    )


def make_job(data: Dataset, options: Options, desk: Desk, own_prompts: Path | None = None) -> Job:
    """The graph and the nodes to describe. Every prompt is read once: a broken one is told now.

    `own_prompts` is a folder whose prompts take the place of the shipped ones.
    """
    how = make_manner(options, own_prompts)
    graph = build_graph(data.users, data.items, data.training)
    targets = pick(graph, options.limit, options.seed)
    return Job(
        graph=graph,
        targets=targets,
        needed=ball(graph, targets, options.hops, how.sampling),
        manner=how,
        desk=desk,
        limited=options.limit is not None,
    )


def make_manner(options: Options, own_prompts: Path | None = None) -> Manner:
    """How a run with these options asks. Raises PromptError for a prompt that cannot be used."""
    prompts = in_force(own_prompts)
    for prompt in prompts.values():
        reply_class(prompt.header.reply)
    return Manner(
        sampling=Sampling(options.neighbours, options.sampling, options.seed),
        domain=domain(options.domain),
        language=options.language,
        mode=options.mode,
        evidence_tokens=options.evidence_tokens,
        prompts=prompts,
    )


async def carry_out(run: Run, langsmith: bool = False) -> dict[str, Any]:
    """Let the outer machine run to its end; its last state.

    LangSmith's variables are heeded with `langsmith` only: one that was left in the environment
    must not send prompts anywhere.
    """
    if not langsmith:
        from langsmith import tracing_context

        with tracing_context(enabled=False):
            return dict(await build().ainvoke({"hop": 0}, context=run))
    from langchain_core.tracers.langchain import wait_for_all_tracers

    try:
        return dict(await build().ainvoke({"hop": 0}, context=run))
    finally:
        await asyncio.to_thread(wait_for_all_tracers)


def pick(graph: nx.Graph, limit: int | None, seed: int) -> frozenset[str]:
    """Every node, or `limit` users and `limit` items drawn by hashing."""
    if limit is None:
        return frozenset(graph)
    drawn: set[str] = set()
    for kind in ("user", "item"):
        nodes = nodes_of(graph, "user" if kind == "user" else "item")
        drawn |= set(sorted(nodes, key=lambda n: (chance(seed, "limit", n), n))[:limit])
    return frozenset(drawn)
