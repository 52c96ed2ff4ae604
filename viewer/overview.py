"""The workspace at a glance, one run in full, and who fell back in it and why."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from stores.trails import figures, nodes
from stores.trails import runs as trails
from stores.trails.figures import Figures
from stores.trails.filters import Filter
from stores.trails.reading import LEDGER
from stores.trails.runs import Run
from viewer.pages import number_of, page, word_of
from viewer.sources import Sources
from viewer.training_pages import records

# A model may think for minutes; a run that was silent for longer is probably gone.
SILENT_S = 300.0
PAGE = 50
_COMMAND = "python cli.py refine --hops 2 --data DATA --workspace WORKSPACE"


@dataclass(frozen=True)
class Pulse:
    """How a run is doing: `how` is live, silent, done, stopped or failed; `rate` in calls/s."""

    how: str
    seconds: float | None
    rate: float | None


def pulse(run: Run, now: float) -> Pulse:
    """A run's state as far as its ledger tells it."""
    if run.ended is not None:
        seconds = run.ended - run.started
        return Pulse(run.how or "failed", seconds, run.calls / seconds if seconds > 0 else None)
    seconds = now - run.started
    last = run.active if run.active is not None else run.started
    live = now - max(last, run.started) < SILENT_S
    return Pulse(
        "live" if live else "silent", seconds, run.calls / seconds if seconds > 0 else None
    )


def home(request: Request) -> Response:
    """The overview. Without a ledger: how to begin."""
    sources: Sources = request.app.state.sources
    if not (sources.workspace / LEDGER).is_file():
        trained = records(sources.workspace)
        return page(request, "empty.html", command=_COMMAND, trained=trained)
    with sources.reading() as db:
        found = trails.runs(db)
        newest = found[0] if found else None
        stages = trails.stages(db, newest.id) if newest else []
        stage_figures = _by_name(
            figures.figures(db, "stage", Filter(run=newest.id)) if newest else []
        )
    now = time.time()
    pulses = {run.id: pulse(run, now) for run in found}
    return page(
        request,
        "overview.html",
        place=sources.place(),
        runs=found,
        pulses=pulses,
        newest=newest,
        stages=stages,
        figures=stage_figures,
        total=_total(found),
        trained=records(sources.workspace),
        live=any(one.how == "live" for one in pulses.values()),
    )


def runs_page(request: Request) -> Response:
    """All runs, fifty at a time."""
    sources: Sources = request.app.state.sources
    number = max(1, number_of(request, "page") or 1)
    with sources.reading() as db:
        found = trails.runs(db)
    shown = found[(number - 1) * PAGE : number * PAGE]
    now = time.time()
    return page(
        request,
        "runs.html",
        runs=shown,
        pulses={run.id: pulse(run, now) for run in shown},
        number=number,
        size=PAGE,
        total=len(found),
    )


def run_page(request: Request) -> Response:
    """One run: its settings, its stages, what they cost, which prompts wrote, who fell back."""
    sources: Sources = request.app.state.sources
    id = word_of(request, "id") or "last"
    with sources.reading() as db:
        run = trails.run(db, id)
        stages = trails.stages(db, run.id)
        by_stage = _by_name(figures.figures(db, "stage", Filter(run=run.id)))
        by_prompt = figures.figures(db, "prompt", Filter(run=run.id))
        fallen = nodes.fallen(db, run.id, limit=8)
        reasons = nodes.reasons(db, run.id)
    return page(
        request,
        "run.html",
        run=run,
        pulse=pulse(run, time.time()),
        stages=stages,
        figures=by_stage,
        prompts=[one for one in by_prompt if one.name],
        fallen=fallen,
        reasons=reasons,
        place=sources.place(),
    )


def fallen_page(request: Request) -> Response:
    """Every node of a run that got the extractive text, with the reason, a page at a time."""
    sources: Sources = request.app.state.sources
    hop, after = number_of(request, "hop"), word_of(request, "after")
    with sources.reading() as db:
        run = trails.run(db, word_of(request, "run") or "last")
        found = nodes.fallen(db, run.id, hop, after)
        reasons = nodes.reasons(db, run.id, hop)
        stages = trails.stages(db, run.id)
    hops = sorted({stage.hop for stage in stages if stage.nodes})
    return page(
        request,
        "fallen.html",
        run=run,
        hop=hop,
        hops=hops,
        fallen=found,
        reasons=reasons,
        place=sources.place(),
    )


def _total(found: Sequence[Run]) -> dict[str, int]:
    """Sums over all runs."""
    return {
        "calls": sum(run.calls for run in found),
        "repairs": sum(run.repairs for run in found),
        "cost": sum(run.cost_nanousd for run in found),
        "unpriced": sum(run.unpriced for run in found),
        "tokens": sum(run.input_tokens + run.output_tokens for run in found),
        "nodes": sum(sum(run.nodes.values()) for run in found),
        "fallback": sum(run.nodes.get(bad, 0) for run in found for bad in nodes.BAD),
    }


def _by_name(found: Sequence[Figures]) -> dict[str, Figures]:
    return {one.name: one for one in found}
