"""Runs of a workspace, and how far each stage of one is."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from errors import UsageError

REPLAY = "replay"
"""The run and the stage of experiments (`traces replay`): they belong to no run."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Times are unix seconds.

    `how` is `done`, `stopped` (by the user, a cap or a server), `failed`, or "" where the run goes
    on or was killed: `active`, the start of its last call, tells the one from the other. `calls`
    includes calls that failed; answers that the ledger already had are no calls. `nodes` counts
    node-hops by what became of them: written, unchanged, none, fallback, failed. `unpriced` calls
    have no known price and are not in `cost_nanousd`. `settings` are what the run was told (hops,
    model, embedder, seed, neighbours, mode …), without secrets.
    """

    id: str
    started: float
    ended: float | None
    how: str
    active: float | None
    settings: Mapping[str, Any]
    calls: int
    repairs: int
    failed_calls: int
    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    unpriced: int
    nodes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a run: `item profiles`, `user profiles`, `hop 1` …, `embedding`.

    `needed` is how many nodes the stage has, None where an older run did not say; `nodes` counts
    those that are settled, by what became of them. `accepted`, `rejected` and `failed` count calls,
    `repairs` those of them that were repairs. `embedding` has calls where the embedder is a server,
    and no nodes.
    """

    name: str
    hop: int
    needed: int | None
    nodes: Mapping[str, int]
    accepted: int
    rejected: int
    failed: int
    repairs: int
    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    unpriced: int

    @property
    def settled(self) -> int:
        return sum(self.nodes.values())


def runs(db: sqlite3.Connection) -> list[Run]:
    """Every run, the newest first."""
    return _runs(db, "1")


def run(db: sqlite3.Connection, id: str) -> Run:
    """The run of this id, or the newest one for `last`. Raises UsageError where there is none."""
    if id == "last":
        newest = db.execute("SELECT id FROM runs ORDER BY started DESC LIMIT 1").fetchone()
        id = newest[0] if newest else id
    found = _runs(db, "runs.id = ?", id)
    if not found:
        known = [row[0] for row in db.execute("SELECT id FROM runs ORDER BY started DESC LIMIT 5")]
        raise UsageError(
            f"No run {id!r} in this workspace.",
            hint=f"The last ones: {', '.join(known)}." if known else "There is none yet.",
        )
    return found[0]


def _runs(db: sqlite3.Connection, which: str, *values: str) -> list[Run]:
    rows = db.execute(
        "SELECT id, started, ended, json_extract(summary, '$.ended'), settings FROM runs"
        f" WHERE {which} ORDER BY started DESC, id DESC",
        values,
    ).fetchall()
    calls = {
        run: figures
        for run, *figures in db.execute(
            "SELECT run, max(last), sum(calls), sum(calls * (turn > 0)),"
            " sum(calls * (status = 'failed')), sum(input_tokens), sum(output_tokens),"
            " sum(cost_nanousd), sum(unpriced) FROM call_groups GROUP BY run"
        )
    }
    nodes: dict[str, dict[str, int]] = {}
    for run, status, count in db.execute(
        "SELECT run, status, sum(nodes) FROM outcome_groups GROUP BY run, status"
    ):
        nodes.setdefault(run, {})[status] = count
    found = []
    for id, started, ended, how, settings in rows:
        last, *figures = calls.get(id, (None, *[0] * 7))
        active = None
        if last is not None:
            (active,) = db.execute("SELECT started FROM calls WHERE id = ?", (last,)).fetchone()
        told = json.loads(settings)
        counted = nodes.get(id, {})
        found.append(Run(*(id, started, ended, how or "", active, told, *figures, counted)))
    return found


def stages(db: sqlite3.Connection, run: str) -> list[Stage]:
    """The stages of a run that have begun or are known to come, in their order."""
    told = db.execute("SELECT settings FROM runs WHERE id = ?", (run,)).fetchone()
    needed: dict[str, int] = json.loads(told[0]).get("stages", {}) if told else {}
    nodes: dict[str, dict[str, int]] = {}
    hops: dict[str, int] = {name: _hop_of(name) for name in needed}
    for hop, kind, status, count in db.execute(
        "SELECT hop, kind, status, sum(nodes) FROM outcome_groups WHERE run = ?"
        " GROUP BY hop, kind, status HAVING sum(nodes)",
        (run,),
    ):
        name = stage_of(hop, kind)
        hops[name] = hop
        counted = nodes.setdefault(name, {})
        counted[status] = counted.get(status, 0) + count
    calls: dict[str, list[int]] = {}
    for name, hop, *figures in db.execute(
        "SELECT stage, hop, sum(calls * (status = 'accepted')), sum(calls * (status = 'rejected')),"
        " sum(calls * (status = 'failed')), sum(calls * (turn > 0)), sum(input_tokens),"
        " sum(output_tokens), sum(cost_nanousd), sum(unpriced)"
        " FROM call_groups WHERE run = ? GROUP BY stage",
        (run,),
    ):
        hops[name] = hop
        calls[name] = figures
    return [
        Stage(name, hops[name], needed.get(name), nodes.get(name, {}), *calls.get(name, [0] * 8))
        for name in sorted(hops, key=lambda name: (_place(name, hops[name]), name))
    ]


def stage_of(hop: int, kind: str) -> str:
    """The name of the stage that describes nodes of a kind at a hop."""
    return f"hop {hop}" if hop else f"{kind} profiles"


def _hop_of(name: str) -> int:
    number = name.removeprefix("hop ")
    return int(number) if number.isdecimal() else -1 if name == "embedding" else 0


def _place(name: str, hop: int) -> int:
    """Embedding is the last stage, items come before users."""
    return 1_000_000 if name == "embedding" else hop
