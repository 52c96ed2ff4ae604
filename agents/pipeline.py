"""The outer machine: from the training graph to embedded descriptions.

    START -> items -> users -+-> hop -+-> embed -> END
                             |   ^  | |
                             |   +--+ |      once per hop
                             +--------+      no hop when only profiles are asked for

Its state holds counts, never texts: these are in the job's layers and in the ledger. A killed run
needs no checkpoint, because the ledger answers everything that was answered before.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agents.job import Job
from agents.profile import item_profiles, user_profiles
from agents.refine import refinement
from agents.sweep import sweep
from agents.wave import Context, Stage
from graph_ops.graph import kind_of


@dataclass(frozen=True)
class Run:
    """What the machine is given. `embed` stores the finished layers and returns the rows it wrote.

    `on_stage` hears of each stage and how many nodes it has, before it begins.
    """

    job: Job
    embed: Callable[[], int]
    on_stage: Callable[[str, int], None]


class Progress(TypedDict, total=False):
    """How far the run is."""

    hop: int
    embedded: int


async def items(state: Progress, runtime: Runtime[Run]) -> Progress:
    """Item profiles: D⁰ of items."""
    job = runtime.context.job
    nodes = [n for n in job.needed[0] if kind_of(n) == "item"]
    await _carry(runtime.context, item_profiles(job), nodes)
    return {"hop": 0}


async def users(state: Progress, runtime: Runtime[Run]) -> Progress:
    """User profiles: D⁰ of users."""
    job = runtime.context.job
    nodes = [n for n in job.needed[0] if kind_of(n) == "user"]
    await _carry(runtime.context, user_profiles(job), nodes)
    return {"hop": 0}


async def hop(state: Progress, runtime: Runtime[Run]) -> Progress:
    """One layer of refinement, users and items alike."""
    job, level = runtime.context.job, state["hop"] + 1
    await _carry(runtime.context, refinement(job, level), list(job.needed[level]))
    return {"hop": level}


async def embed(state: Progress, runtime: Runtime[Run]) -> Progress:
    """Vectors for every description, in Chroma."""
    return {"embedded": await asyncio.to_thread(runtime.context.embed)}


def next_step(state: Progress, runtime: Runtime[Run]) -> Literal["hop", "embed"]:
    """Another hop while there is one."""
    return "hop" if state["hop"] < runtime.context.job.hops else "embed"


def build() -> "CompiledStateGraph[Progress, Run, Progress, Progress]":
    """Compile the machine. All wiring is here and in `wire`; all behaviour in the steps above."""
    graph = StateGraph(Progress, context_schema=Run)
    wire(graph)
    graph.add_edge(START, "items")
    graph.add_edge("embed", END)
    return graph.compile(name="pipeline")


def wire(graph: Any) -> None:
    """Put the steps from `items` to `embed` into a graph; who serves them adds others around."""
    for step in (items, users, hop, embed):
        graph.add_node(step.__name__, step)
    graph.add_edge("items", "users")
    graph.add_conditional_edges("users", next_step)
    graph.add_conditional_edges("hop", next_step)


async def _carry(run: Run, stage: Stage, nodes: list[str]) -> None:
    run.on_stage(stage.name, len(nodes))
    rendering = asyncio.Semaphore(run.job.desk.engine.renderers)
    await sweep(nodes, Context(stage, run.job.desk, rendering))
