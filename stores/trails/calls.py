"""Calls: a page of a list under filters, in the order of time, latency or cost; one call whole."""

import heapq
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from errors import UsageError
from stores.trails.filters import FACETS, Facets, Filter, fits
from stores.trails.nodes import Described
from stores.trails.runs import REPLAY

Order = Literal["newest", "slowest", "dearest"]
MOST = 500
_MEASURE: dict[str, str] = {"newest": "id", "slowest": "latency_ms", "dearest": "cost_nanousd"}


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call without its texts. `turn` 0 is the question, n its n-th repair; attempts count from 1.

    `node` is "" and `hop` -1 for calls to an embedder. `cost_nanousd` None: no price is known.
    `started` in unix seconds; `latency_ms` 0: it came in a batch.
    """

    id: int
    run: str
    stage: str
    node: str
    hop: int
    turn: int
    attempt: int
    prompt: str
    model: str
    endpoint: str
    status: str
    reason: str
    finish: str
    input_tokens: int | None
    output_tokens: int | None
    cost_nanousd: int | None
    started: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Page:
    """Some calls, and where the next page begins (hand it to `page`); None: there is no more."""

    rows: tuple[CallRow, ...]
    following: str | None


@dataclass(frozen=True, slots=True)
class WholeCall:
    """A call with its texts: messages as (role, text) and the reply, None where there was none.

    `question` are the calls about the same question in the order they were made, this one
    included: attempts, repairs and their attempts, over all runs. `experiments` are its replays;
    of a replay `origin` is the call that was asked again.
    """

    row: CallRow
    key: str
    parameters: Mapping[str, Any]
    messages: tuple[tuple[str, str], ...]
    reply: str | None
    question: tuple[CallRow, ...]
    experiments: tuple[CallRow, ...]
    origin: int | None


COLUMNS = ", ".join(f"calls.{field.name}" for field in fields(CallRow))


def page(
    db: sqlite3.Connection,
    wanted: Filter,
    order: Order = "newest",
    at_least: float = 0.0,
    after: str | None = None,
    limit: int = 50,
) -> Page:
    """The next `limit` (at most 500) calls after a page's `following`, or the first ones.

    With `slowest`, `at_least` is a latency in milliseconds, with `dearest` a cost in nano-dollars:
    only calls that took as much are listed. Raises UsageError for an `after` that is none.
    """
    limit = max(1, min(limit, MOST))
    place = _place(after, order)
    if wanted.node is not None:
        ids = _of_node(db, wanted, order, at_least, place)
    else:
        ids = _of_groups(db, _groups(db, wanted), order, at_least, place, limit)
    some = [one for _, one in zip(range(limit + 1), ids, strict=False)]
    shown = [id for _, id in some[:limit]]
    found = {
        row.id: row for row in _rows(db, "calls.id IN (SELECT value FROM json_each(?))", shown)
    }
    following = None
    if len(some) > limit:
        measure, id = some[limit - 1]
        following = str(id) if order == "newest" else f"{measure!r}:{id}"
    return Page(tuple(found[id] for id in shown), following)


def whole(db: sqlite3.Connection, id: int) -> WholeCall:
    """One call with everything that is known of it. Raises UsageError where there is no such id."""
    found = db.execute(
        f"SELECT {COLUMNS}, key, parameters, messages, reply FROM calls WHERE id = ?", (id,)
    ).fetchone()
    if found is None:
        raise UsageError(f"No call {id} in this ledger.", hint="See: python cli.py traces list")
    *values, key, parameters, messages, reply = found
    row = CallRow(*values)
    named = [(role, name) for role, name in json.loads(messages)]
    bodies = texts(db, [name for _, name in named] + ([reply] if reply else []))
    told = json.loads(parameters)
    if row.node:
        question, experiments = _around(db, row, named, row.run, _last_key(db, row))
    else:
        question, experiments = _rows(db, "calls.key = ? ORDER BY calls.id", key), []
    return WholeCall(
        row=row,
        key=key,
        parameters=told,
        messages=tuple((role, bodies[name]) for role, name in named),
        reply=bodies[reply] if reply else None,
        question=tuple(question),
        experiments=tuple(experiments),
        origin=told.get("replay_of"),
    )


def behind(db: sqlite3.Connection, one: Described) -> list[CallRow]:
    """The calls that led to a node's text at a hop, in the order they were made.

    Nodes with equal evidence share answers and repairs, so calls may be about another node. Where
    the outcome's key is not known (a ledger of an older version) they are all calls about this node
    at this hop.
    """
    last = db.execute(
        f"SELECT {COLUMNS}, messages FROM calls WHERE key = ?"
        " ORDER BY status = 'accepted' DESC, id DESC LIMIT 1",
        (one.key,),
    ).fetchone()
    if one.key and last is not None:
        row = CallRow(*last[:-1])
        return _around(db, row, json.loads(last[-1]), one.run, one.key)[0]
    rows = _rows(db, "calls.node = ? AND calls.hop = ? ORDER BY calls.id", one.node, one.hop)
    return [row for row in rows if row.stage != REPLAY]


def reply(db: sqlite3.Connection, id: int) -> str | None:
    """What came back from a call; None where nothing did."""
    found = db.execute(
        "SELECT body FROM calls JOIN texts ON hash = reply WHERE id = ?", (id,)
    ).fetchone()
    return found[0] if found else None


def texts(db: sqlite3.Connection, hashes: list[str]) -> dict[str, str]:
    """The texts of these hashes."""
    rows = db.execute(
        "SELECT hash, body FROM texts WHERE hash IN (SELECT value FROM json_each(?))",
        (json.dumps(hashes),),
    )
    return dict(rows.fetchall())


def _last_key(db: sqlite3.Connection, row: CallRow) -> str:
    """The last question that was asked about a call's node at its hop, in its run; "": unknown."""
    found = db.execute(
        "SELECT key FROM answered WHERE run = ? AND node = ? AND hop = ?",
        (row.run, row.node, row.hop),
    ).fetchone()
    return found[0] if found else ""


def _around(
    db: sqlite3.Connection, row: CallRow, messages: list[Any], run: str, last: str
) -> tuple[list[CallRow], list[CallRow]]:
    """The calls about the same question, and those that asked it again as an experiment.

    `last` is the key that it ended with in `run`. A call is recorded for the node that came first:
    where some are missing, nodes of equal evidence made them, which ended with the same key.
    """
    question, experiments = _about(db, [row.node], row, messages)
    turns = {one.turn for one, _ in question}
    if turns != set(range(len(turns))) or last not in {"", *(key for _, key in question)}:
        sharing = db.execute(
            "SELECT node FROM answered WHERE run = ? AND hop = ? AND key = ?", (run, row.hop, last)
        )
        some = {row.node, *(node for (node,) in sharing)}
        question, experiments = _about(db, sorted(some), row, messages)
    return [one for one, _ in question], experiments


def _about(
    db: sqlite3.Connection, nodes: list[str], row: CallRow, messages: list[Any]
) -> tuple[list[tuple[CallRow, str]], list[CallRow]]:
    """What these nodes were asked at a call's hop: its question, with keys, and experiments."""
    rows = db.execute(
        f"SELECT {COLUMNS}, key, messages, json_extract(parameters, '$.replay_of') FROM calls"
        " WHERE node IN (SELECT value FROM json_each(?)) AND hop = ? ORDER BY id",
        (json.dumps(nodes), row.hop),
    ).fetchall()
    # A repair shows the question and what was said to it: it begins with the question's messages.
    opening = [list(one) for one in messages[:2]]
    question, experiments = [], []
    for *values, key, asked, origin in rows:
        one = CallRow(*values)
        if one.stage == REPLAY:
            if origin == row.id or one.id == row.id:
                experiments.append(one)
        elif json.loads(asked)[:2] == opening and one.model == row.model:
            question.append((one, key))
    return question, experiments


def _groups(db: sqlite3.Connection, wanted: Filter) -> list[tuple[int, int]]:
    """The groups of calls that fit, each with its last call, the newest first."""
    rows = db.execute(f"SELECT id, last, {FACETS} FROM call_groups ORDER BY last DESC")
    return [(id, last) for id, last, *facets in rows if fits(wanted, Facets(*facets))]


_Place = tuple[float, int] | None


def _place(after: str | None, order: Order) -> _Place:
    if after is None:
        return None
    measure, _, id = after.rpartition(":")
    try:
        return (float(measure) if measure else float(id), int(id))
    except ValueError as error:
        raise UsageError(
            f"{after!r} is no place in a list.", hint="It is what the page before ended with."
        ) from error


def _of_groups(
    db: sqlite3.Connection,
    groups: list[tuple[int, int]],
    order: Order,
    at_least: float,
    place: _Place,
    limit: int,
) -> Iterator[tuple[float, int]]:
    """(measure, id) from the highest down: the groups' own lists, merged."""
    if order != "newest":
        lists = [_measured(db, id, _MEASURE[order], at_least, place, limit) for id, _ in groups]
        yield from heapq.merge(*lists, reverse=True)
        return
    best: list[int] = []
    for id, last in groups:
        # Groups come the newest first: where the list is full, what ended earlier adds nothing.
        if len(best) > limit and last < best[0]:
            break
        before = place[1] if place else last + 1
        for (call,) in db.execute(
            "SELECT id FROM call_marks WHERE grp = ? AND id < ? ORDER BY id DESC LIMIT ?",
            (id, before, limit + 1),
        ):
            if len(best) <= limit:
                heapq.heappush(best, call)
            elif call > best[0]:
                heapq.heapreplace(best, call)
            else:
                break
    yield from ((float(call), call) for call in sorted(best, reverse=True))


def _measured(
    db: sqlite3.Connection, group: int, measure: str, at_least: float, place: _Place, limit: int
) -> list[tuple[float, int]]:
    top = place or (9e18, 2**62)
    return db.execute(
        f"SELECT {measure}, id FROM call_marks WHERE grp = ? AND {measure} >= ?"
        f" AND ({measure}, id) < (?, ?) ORDER BY {measure} DESC, id DESC LIMIT ?",
        (group, at_least, *top, limit + 1),
    ).fetchall()


def _of_node(
    db: sqlite3.Connection, wanted: Filter, order: Order, at_least: float, place: _Place
) -> Iterator[tuple[float, int]]:
    """The calls about one node are few: they are looked at one by one."""
    rows = db.execute(
        f"SELECT {_MEASURE[order]}, id, {FACETS} FROM calls WHERE node = ?", (wanted.node,)
    )
    found = [
        (measure, id)
        for measure, id, *facets in rows
        if measure is not None and fits(wanted, Facets(*facets))
    ]
    if order != "newest":
        found = [one for one in found if one[0] >= at_least]
    yield from sorted((one for one in found if place is None or one < place), reverse=True)


def _rows(db: sqlite3.Connection, which: str, *values: Any) -> list[CallRow]:
    given = [json.dumps(value) if isinstance(value, list) else value for value in values]
    sql = f"SELECT {COLUMNS} FROM calls WHERE {which}"
    return [CallRow(*row) for row in db.execute(sql, given)]
