"""The pipeline as `langgraph dev` serves it: the real machine, for one node and what that needs.

    START -> open -> items -> users -+-> hop -+-> embed -> tell -> END
                                     +--------+   once per hop

It is told in JSON which node, how many hops, and which data and workspace; model, prompts and
limits come from the settings, as for every verb. Calls go to the ledger and can be looked at
afterwards (`traces node`). Descriptions are not embedded: Chroma is left alone. `langgraph.json`
names this file.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agents.job import Job
from agents.pipeline import Progress, wire
from agents.run import recorded
from agents.setup import OWN_PROMPTS, make_desk, make_job
from errors import UsageError
from graph_ops.neighbourhood import ball
from stores import graph_file
from stores.ledger import Ledger
from stores.trails.reading import LEDGER
from verbs.flags import SAMPLE
from verbs.places import workspace_of
from verbs.session import open_session


class Told(Progress, total=False):
    """What comes out: the run's name in the ledger, status and description at each hop."""

    run: str
    status: list[str]
    descriptions: list[str]


@dataclass
class Served:
    """One run of one node. The steps of the pipeline find in it what they find in a `Run`."""

    node: str = "user:u001"
    hops: int = 1
    data: str = str(SAMPLE)
    workspace: str | None = None
    opened: Any = field(default=None, init=False, repr=False)
    closing: ExitStack = field(default_factory=ExitStack, init=False, repr=False)

    @property
    def job(self) -> Job:
        assert isinstance(self.opened, Job), "The machine begins with `open`."
        return self.opened

    def embed(self) -> int:
        """No row goes to Chroma."""
        return 0

    def on_stage(self, name: str, nodes: int) -> None:
        """Who watches sees the steps themselves."""


async def open_run(state: Told, runtime: Runtime[Served]) -> Told:
    """Settings, data, model and ledger, and the run's row."""
    asked = runtime.context
    told = {"hops": asked.hops, "limit": 1, "fresh": False}
    data, started = Path(asked.data), time.time()
    folder = workspace_of(data, Path(asked.workspace) if asked.workspace else None)
    with open_session(data, folder, {}, told, True) as session:
        model, options = session.model(), session.options
        graph_file.write(folder, session.data)
        ledger = asked.closing.enter_context(Ledger(folder / LEDGER))
    run = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    desk = make_desk(run, model, ledger, options)
    job = make_job(session.data, options, desk, folder / OWN_PROMPTS)
    if asked.node not in job.graph:
        raise UsageError(f"The data has no {asked.node!r}.", hint="A node is user:ID or item:ID.")
    targets = frozenset({asked.node})
    needed = ball(job.graph, targets, asked.hops, job.manner.sampling)
    asked.opened = replace(job, targets=targets, needed=needed, limited=True)
    templates = [prompt.source for prompt in job.manner.prompts.values()]
    settings = recorded(options, model, session.embedder().name, asked.job)
    await ledger.begin_run(run, started, settings, templates)
    return {"run": run}


async def tell(state: Told, runtime: Runtime[Served]) -> Told:
    """The node's descriptions; then everything is closed."""
    asked = runtime.context
    job = asked.job
    layers = [job.outcomes(hop, [asked.node]) for hop in range(job.hops + 1)]
    outcomes = [layer[asked.node] for layer in layers]
    calls = {"ended": "served", "calls": job.desk.tally.calls}
    await job.desk.ledger.end_run(state["run"], time.time(), calls)
    asked.closing.close()
    await job.desk.model.close()
    return {
        "status": [outcome.status for outcome in outcomes],
        "descriptions": [outcome.text for outcome in outcomes],
    }


def pipeline() -> Any:
    """Compile the machine that is served."""
    graph = StateGraph(Told, context_schema=Served)
    graph.add_node("open", open_run)
    graph.add_node("tell", tell)
    wire(graph)
    graph.add_edge(START, "open")
    graph.add_edge("open", "items")
    graph.add_edge("embed", "tell")
    graph.add_edge("tell", END)
    return graph.compile(name="pipeline")
