"""Nodes: what became of one at each hop, which fell back and why, texts, ids by their beginning."""

import json
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from errors import UsageError

BAD = ("fallback", "failed")
"""What became of a node whose text the extractive writer wrote."""
_KINDS = ("item:", "user:")


@dataclass(frozen=True, slots=True)
class Described:
    """What became of a node at a hop in a run.

    `status`: `written`; `unchanged` (the text of the hop before stays) or `none` (there is no text)
    where nothing was asked or the model said that it knows nothing; `fallback` where every reply
    was rejected and `failed` where no reply came: the extractive writer wrote the text then,
    `model` says so and `reason` why. `turns` counts replies, 1 + repairs. `text` is the whole
    description.
    `key` names the question that it answers (`calls.behind`), "" where that is not known.
    """

    run: str
    node: str
    hop: int
    status: str
    turns: int
    reason: str
    prompt: str
    model: str
    text: str
    key: str


@dataclass(frozen=True, slots=True)
class Fallen:
    """A node that fell back at a hop, and why. `turns` counts the replies that were tried."""

    node: str
    hop: int
    status: str
    turns: int
    reason: str
    prompt: str


@dataclass(frozen=True, slots=True)
class FallenPage:
    """Some nodes that fell back, and where the next page begins; None: there is no more."""

    rows: tuple[Fallen, ...]
    following: str | None


def runs_with(db: sqlite3.Connection, node: str, hop: int | None = None) -> list[str]:
    """The runs that described a node (at that hop), the newest first; empty for an unknown node."""
    rows = db.execute(
        "SELECT DISTINCT run FROM outcomes LEFT JOIN runs ON id = run"
        " WHERE node = ?1 AND hop = ifnull(?2, hop) ORDER BY ifnull(started, 0) DESC, run DESC",
        (node, hop),
    )
    return [run for (run,) in rows]


def life(db: sqlite3.Connection, node: str, run: str | None = None) -> list[Described]:
    """A node's outcomes in a run, by hop; in the newest run that described it where none is named.

    Raises UsageError for a node that no run described, with ids that begin like it.
    """
    run = run or next(iter(runs_with(db, node)), "")
    rows = db.execute(
        "SELECT outcomes.run, outcomes.node, outcomes.hop, status, turns, reason, prompt, model,"
        " body, ifnull(key, '') FROM outcomes JOIN texts ON hash = text"
        " LEFT JOIN answered USING (run, node, hop) WHERE outcomes.run = ? AND outcomes.node = ?"
        " ORDER BY outcomes.hop",
        (run, node),
    ).fetchall()
    if not rows:
        raise UsageError(
            f"No run described {node!r}" + (f" ({run})." if run else "."), hint=near(db, node)
        )
    return [Described(*row) for row in rows]


def described(db: sqlite3.Connection, run: str, hop: int, nodes: Iterable[str]) -> dict[str, str]:
    """The descriptions of these nodes at a hop of a run, by node; without those that have none."""
    rows = db.execute(
        "SELECT node, body FROM outcomes JOIN texts ON hash = text WHERE run = ? AND hop = ?"
        " AND node IN (SELECT value FROM json_each(?))",
        (run, hop, json.dumps(list(nodes))),
    )
    return dict(rows.fetchall())


def layer(db: sqlite3.Connection, run: str, hop: int) -> list[tuple[str, str]]:
    """Every node of a hop of a run with the hash of its description (`text` gives that).

    50,000 of them take about a tenth of a second: keep what you make of it.
    """
    rows = db.execute(
        "SELECT node, text FROM outcomes INDEXED BY outcomes_by_status WHERE run = ? AND hop = ?",
        (run, hop),
    )
    return rows.fetchall()


def text(db: sqlite3.Connection, hash: str) -> str | None:
    """The text of a hash, None where there is none."""
    found = db.execute("SELECT body FROM texts WHERE hash = ?", (hash,)).fetchone()
    return found[0] if found else None


def fallen(
    db: sqlite3.Connection,
    run: str,
    hop: int | None = None,
    after: str | None = None,
    limit: int = 50,
) -> FallenPage:
    """Nodes that fell back (or failed) in a run, by hop and node, a page at a time."""
    hops = [hop] if hop is not None else _hops(db, run)
    place = _place(after)
    found: list[Fallen] = []
    for one in hops:
        if place is not None and one < place[0]:
            continue
        rows: list[Fallen] = []
        beyond = place[1] if place is not None and one == place[0] else ""
        for status in BAD:
            asked = db.execute(
                "SELECT node, hop, status, turns, reason, prompt FROM outcomes"
                " INDEXED BY outcomes_by_status"
                " WHERE run = ? AND hop = ? AND status = ? AND node > ? ORDER BY node LIMIT ?",
                (run, one, status, beyond, limit + 1),
            )
            rows += [Fallen(*row) for row in asked]
        found += sorted(rows, key=lambda row: row.node)
        if len(found) > limit:
            break
    last = found[limit - 1] if len(found) > limit else None
    return FallenPage(tuple(found[:limit]), f"{last.hop}:{last.node}" if last else None)


def reasons(
    db: sqlite3.Connection, run: str, hop: int | None = None, most: int = 10
) -> list[tuple[str, int]]:
    """Why nodes fell back in a run (at a hop), the commonest first, without numbers in them."""
    counts: dict[str, int] = {}
    for one in [hop] if hop is not None else _hops(db, run):
        for status in BAD:
            for reason, count in db.execute(
                "SELECT reason, count(*) FROM outcomes INDEXED BY outcomes_by_status"
                " WHERE run = ? AND hop = ? AND status = ? GROUP BY reason",
                (run, one, status),
            ):
                plain = re.sub(r"\d+", "…", reason)
                counts[plain] = counts.get(plain, 0) + count
    return sorted(counts.items(), key=lambda one: -one[1])[:most]


def ids(db: sqlite3.Connection, beginning: str, most: int = 20) -> list[str]:
    """Nodes whose name (`user:42`) or id (`42`) begins so, in their order, each once."""
    found: list[str] = []
    for prefix in _KINDS if not beginning.startswith(_KINDS) else ("",):
        wanted = prefix + beginning
        last = wanted
        comparison = ">="
        while len(found) < most:
            row = db.execute(
                f"SELECT node FROM outcomes WHERE node {comparison} ? ORDER BY node LIMIT 1",
                (last,),
            ).fetchone()
            if row is None or not row[0].startswith(wanted):
                break
            found.append(row[0])
            last, comparison = row[0], ">"
    return found


def near(db: sqlite3.Connection, name: str) -> str:
    """A sentence with nodes whose names begin most like one that is not known."""
    kind, _, id = name.rpartition(":")
    for length in range(len(id), -1, -1):
        if found := ids(db, (f"{kind}:" if kind else "") + id[:length], 5):
            return f"There are: {', '.join(found)}, …"
    return "No run has described anything yet."


def _hops(db: sqlite3.Connection, run: str) -> list[int]:
    rows = db.execute("SELECT DISTINCT hop FROM outcome_groups WHERE run = ? ORDER BY hop", (run,))
    return [hop for (hop,) in rows]


def _place(after: str | None) -> tuple[int, str] | None:
    if after is None:
        return None
    hop, _, node = after.partition(":")
    if not hop.isdecimal():
        raise UsageError(f"{after!r} is no place in a list.")
    return int(hop), node
