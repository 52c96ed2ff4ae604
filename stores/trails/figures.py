"""Calls, tokens, money, latency, repairs and fallbacks, summed up by one thing or another."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stores.trails.filters import FACETS, Facets, Filter, fits
from stores.trails.runs import REPLAY, stage_of

By = Literal["stage", "hop", "prompt", "model", "run", "status"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What the calls of one stage (hop, prompt version, model, run) took.

    `questions` are first questions that were answered, `repairs` answered repairs; a question that
    was answered from the ledger is no call and is not counted. `p50_ms` and `p95_ms` are of
    answered calls, right to two significant digits, None where none was waited for. Of `nodes` that
    were settled, `fallback` got the extractive text (failed ones included).
    """

    name: str
    calls: int
    questions: int
    repairs: int
    rejected: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    unpriced: int
    p50_ms: float | None
    p95_ms: float | None
    nodes: int
    fallback: int

    @property
    def repair_rate(self) -> float | None:
        """Repairs a question; None without questions."""
        return self.repairs / self.questions if self.questions else None

    @property
    def fallback_rate(self) -> float | None:
        """Share of the nodes that fell back; None without nodes."""
        return self.fallback / self.nodes if self.nodes else None


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a prompt as this workspace used it. `ref` is `name@version:digest`.

    `nodes` were described by its words; `fallback` of them in spite of them. `known` says whether
    the template's text is kept (`template`): ledgers of older versions did not keep it. `first` and
    `last` are ids of calls, 0 where every answer came from the ledger.
    """

    ref: str
    name: str
    version: str
    digest: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    unpriced: int
    nodes: int
    fallback: int
    first: int
    last: int
    known: bool


def figures(db: sqlite3.Connection, by: By, wanted: Filter | None = None) -> list[Figures]:
    """What calls took, summed up by one of their facets, in the order they were first seen.

    `wanted` (its node is not heeded) narrows the calls and the nodes. Replays are left out unless
    their stage (`runs.REPLAY`) is asked for. It takes milliseconds, whatever the number of calls.
    """
    wanted = wanted or Filter()
    sums: dict[str, list[int]] = {}
    times: dict[str, dict[float, int]] = {}
    group_of: dict[int, str] = {}
    for id, calls, *rest in db.execute(
        "SELECT id, calls, input_tokens, output_tokens, cost_nanousd, unpriced,"
        f" {FACETS} FROM call_groups ORDER BY first"
    ):
        facets = Facets(*rest[4:])
        replay = facets.stage == REPLAY
        if replay != (wanted.stage == REPLAY) or not fits(wanted, facets):
            continue
        name = str(getattr(facets, by))
        failed = facets.status == "failed"
        if not failed:
            group_of[id] = name
        parts = (
            calls,
            calls * (not failed and facets.turn == 0),
            calls * (not failed and facets.turn > 0),
            calls * (facets.status == "rejected"),
            calls * failed,
            *rest[:4],
        )
        sums[name] = [a + b for a, b in zip(sums.get(name, [0] * 9), parts, strict=True)]
    for group, ms, calls in db.execute("SELECT grp, ms, calls FROM call_latencies"):
        if group in group_of:
            counted = times.setdefault(group_of[group], {})
            counted[ms] = counted.get(ms, 0) + calls
    nodes = _nodes(db, by, wanted)
    found = []
    for name in dict.fromkeys([*sums, *nodes]):
        took = times.get(name, {})
        middle, late = _quantile(took, 0.5), _quantile(took, 0.95)
        summed, settled = sums.get(name, [0] * 9), nodes.get(name, (0, 0))
        values: tuple[Any, ...] = (name, *summed, middle, late, *settled)
        found.append(Figures(*values))
    return found


def versions(db: sqlite3.Connection) -> list[Version]:
    """The versions of every prompt that this workspace used, by name, the latest used first."""
    calls = {
        ref: figures
        for ref, *figures in db.execute(
            "SELECT prompt, sum(calls), sum(input_tokens), sum(output_tokens), sum(cost_nanousd),"
            " sum(unpriced), min(first), max(last) FROM call_groups"
            " WHERE prompt != '' AND stage != ? GROUP BY prompt",
            (REPLAY,),
        )
    }
    nodes: dict[str, tuple[int, int]] = {}
    for ref, count, fallback in db.execute(
        "SELECT prompt, sum(nodes), sum(nodes * (status IN ('fallback', 'failed')))"
        " FROM outcome_groups WHERE prompt != '' GROUP BY prompt"
    ):
        nodes[ref] = (count, fallback)
    found = []
    for ref in {*calls, *nodes}:
        name, _, rest = ref.partition("@")
        number, _, digest = rest.partition(":")
        *spent, first, last = calls.get(ref, [0] * 7)
        count, fallback = nodes.get(ref, (0, 0))
        known = template(db, digest) is not None
        found.append(
            Version(*(ref, name, number, digest, *spent, count, fallback, first, last, known))
        )
    return sorted(found, key=lambda one: (one.name, -one.last, one.ref))


def template(db: sqlite3.Connection, digest: str) -> str | None:
    """The file of a prompt version that a run used, by its digest; None where it was not kept."""
    # A prompt's digest is the beginning of the hash that the ledger calls its text by.
    found = db.execute(
        "SELECT body FROM texts WHERE hash >= ? AND hash < ? LIMIT 1", (digest, digest + "g")
    ).fetchone()
    return found[0] if found and digest else None


def _nodes(db: sqlite3.Connection, by: By, wanted: Filter) -> dict[str, tuple[int, int]]:
    """Settled nodes and those of them that fell back. None by status: that is one of calls."""
    if by == "status" or wanted.status is not None or wanted.repairs is not None:
        return {}
    models = _models(db)
    found: dict[str, tuple[int, int]] = {}
    for run, hop, kind, status, prompt, model, count in db.execute(
        "SELECT run, hop, kind, status, prompt, model, nodes FROM outcome_groups WHERE nodes"
        " ORDER BY run, hop"
    ):
        asked = str(models.get(run, {}).get("model", model))
        facets = Facets(run, stage_of(hop, kind), hop, 0, prompt, asked, "accepted")
        # Of nodes about which nothing was asked, no prompt and no model has a share.
        if not fits(wanted, facets) or (not prompt and by in ("prompt", "model")):
            continue
        name = str(getattr(facets, by))
        before = found.get(name, (0, 0))
        bad = count if status in ("fallback", "failed") else 0
        found[name] = (before[0] + count, before[1] + bad)
    return found


def _models(db: sqlite3.Connection) -> Mapping[str, Mapping[str, Any]]:
    """Who was asked in each run: a node that fell back only names the extractive writer."""
    return {run: json.loads(told) for run, told in db.execute("SELECT id, settings FROM runs")}


def _quantile(times: Mapping[float, int], share: float) -> float | None:
    """The nearest-rank quantile of values that were counted."""
    rank, seen = share * sum(times.values()), 0
    for ms, count in sorted(times.items()):
        seen += count
        if seen >= rank:
            return ms
    return None
