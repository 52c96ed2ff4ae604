"""What `python cli.py traces list|show|node|stats` finds: plain values, as `--json` prints them."""

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from errors import HopscribeError, UsageError, unknown
from graph_ops.graph import build
from stores import graph_file
from stores.trails import calls, figures, nodes
from stores.trails.calls import CallRow, Order
from stores.trails.figures import By, Figures
from stores.trails.filters import Filter
from stores.trails.nodes import Described
from stores.trails.runs import Run
from stores.trails.runs import run as run_of
from verbs.places import must_know_the_graph, node_named, settings_here
from viewer.evidence import Shown, shown, told
from viewer.words import Piece, compared

NANO = 1_000_000_000
BY: dict[str, By] = {one: one for one in get_args(By)}
STATUSES = ("accepted", "rejected", "failed")


def wanted(db: sqlite3.Connection, given: Filter) -> Filter:
    """The filter with `last` and short node names spelt out. Raises UsageError for unknown ones."""
    if given.status is not None and given.status not in STATUSES:
        raise unknown("status", given.status, STATUSES)
    run = run_of(db, given.run).id if given.run == "last" else given.run
    node = node_named(db, given.node) if given.node is not None else None
    return replace(given, run=run, node=node)


def ordered(slow: float | None, cost: float | None) -> tuple[Order, float]:
    """The order of a list and its floor. `slow` in seconds, `cost` in dollars."""
    if slow is not None and cost is not None:
        raise UsageError("--slow and --cost both order the list.", hint="Give one of them.")
    if slow is not None:
        return "slowest", slow * 1e3
    return ("dearest", cost * NANO) if cost is not None else ("newest", 0.0)


def listed(
    db: sqlite3.Connection,
    given: Filter,
    slow: float | None,
    cost: float | None,
    after: str | None,
    limit: int,
) -> dict[str, Any]:
    """A page of calls, and where the next one begins."""
    order, floor = ordered(slow, cost)
    page = calls.page(db, wanted(db, given), order, floor, after, limit)
    return {"calls": [call(row) for row in page.rows], "following": page.following}


def whole(db: sqlite3.Connection, id: int) -> dict[str, Any]:
    """One call: what was sent, what came back, what the check said, the calls around it."""
    found = calls.whole(db, id)
    return {
        **call(found.row),
        "endpoint": found.row.endpoint,
        "key": found.key,
        "parameters": dict(found.parameters),
        "messages": [{"role": role, "content": text} for role, text in found.messages],
        "reply": found.reply,
        "check": found.row.reason or found.row.status,
        "question": [call(row) for row in found.question],
        "experiments": [call(row) for row in found.experiments],
        "replay_of": found.origin,
    }


def life(
    db: sqlite3.Connection, workspace: Path, data: Path, name: str, run: str | None
) -> dict[str, Any]:
    """A node's life in a run: at each hop what it saw, what was said, what became of it."""
    node = node_named(db, name)
    outcomes = nodes.life(db, node, run_of(db, run).id if run is not None else None)
    saw, why_not = _saw(db, workspace, data, run_of(db, outcomes[0].run), outcomes)
    hops, before = [], ""
    for one in outcomes:
        pieces = compared(before, one.text) if one.hop else []
        behind = calls.behind(db, one)
        hops.append(
            {
                "hop": one.hop,
                "status": one.status,
                "prompt": one.prompt,
                "model": one.model,
                "turns": one.turns,
                "reason": one.reason,
                "text": one.text,
                "changed": [asdict(piece) for piece in pieces],
                "saw": [asdict(text) for text in saw.get(one.hop, ())],
                "calls": [_with_reply(db, row) for row in behind],
            }
        )
        before = one.text
    return {
        "node": node,
        "run": outcomes[0].run,
        "runs": nodes.runs_with(db, node),
        "evidence": why_not or "as the run showed it",
        "hops": hops,
    }


def _saw(
    db: sqlite3.Connection, workspace: Path, data: Path, run: Run, outcomes: Sequence[Described]
) -> tuple[dict[int, tuple[Shown, ...]], str]:
    """What a node was shown at each hop, or why that is not known."""
    try:
        must_know_the_graph(workspace, data, settings_here())
    except HopscribeError as error:
        return {}, f"not shown: {error.message} Name the run's data with --data."
    manner, node = told(run.id, run.settings), outcomes[0].node
    radius = 2 if manner.sampling.rule == "degree-damped" else 1
    with graph_file.reading(workspace) as file:
        part = graph_file.around(file, node, radius)
    graph = build(part.users, part.items, part.interactions)
    return {one.hop: shown(db, graph, manner, node, one.hop) for one in outcomes}, ""


def _with_reply(db: sqlite3.Connection, row: CallRow) -> dict[str, Any]:
    return {**call(row), "reply": calls.reply(db, row.id)}


def summed(db: sqlite3.Connection, given: Filter, by: Sequence[str]) -> dict[str, Any]:
    """What calls took, summed up by each of `by`."""
    filled = wanted(db, given)
    found: dict[str, Any] = {"run": filled.run}
    for one in by:
        if one not in BY:
            raise unknown("--by", one, BY)
        found[one] = [_sums(row) for row in figures.figures(db, BY[one], filled)]
    return found


def _sums(row: Figures) -> dict[str, Any]:
    return {
        "name": row.name,
        "calls": row.calls,
        "questions": row.questions,
        "repairs": row.repairs,
        "rejected": row.rejected,
        "failed": row.failed,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": None if row.unpriced else row.cost_nanousd / NANO,
        "priced_usd": row.cost_nanousd / NANO,
        "unpriced": row.unpriced,
        "p50_ms": row.p50_ms,
        "p95_ms": row.p95_ms,
        "repair_rate": row.repair_rate,
        "nodes": row.nodes,
        "fallback": row.fallback,
        "fallback_rate": row.fallback_rate,
    }


def call(row: CallRow) -> dict[str, Any]:
    """A call as a line of a list. `cost_usd` is null where no price is known."""
    cost = row.cost_nanousd
    return {
        "id": row.id,
        "run": row.run,
        "stage": row.stage,
        "node": row.node,
        "hop": row.hop,
        "turn": row.turn,
        "attempt": row.attempt,
        "prompt": row.prompt,
        "model": row.model,
        "status": row.status,
        "reason": row.reason,
        "finish": row.finish,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": None if cost is None else cost / NANO,
        "started": datetime.fromtimestamp(row.started, UTC).isoformat(timespec="milliseconds"),
        "latency_ms": round(row.latency_ms, 1),
    }


def pieces_of(found: Sequence[dict[str, Any]]) -> list[Piece]:
    """What changed, from its plain values."""
    return [Piece(**piece) for piece in found]
