"""Every call that is wanted, with its texts, in the order of time: for exports."""

import json
import sqlite3
from collections.abc import Iterator

from stores.trails.calls import COLUMNS, CallRow, texts
from stores.trails.filters import FACETS, Facets, Filter, fits


def every(
    db: sqlite3.Connection, wanted: Filter, after: int = 0
) -> Iterator[tuple[CallRow, str, list[tuple[str, str]], str | None]]:
    """Every wanted call after an id, oldest first: row, parameters (JSON), messages, reply.

    It reads through all calls of that time; a few thousand texts are held at once.
    """
    rows = db.execute(
        "SELECT id, first, last, " + FACETS + " FROM call_groups WHERE last > ?", (after,)
    )
    groups = {
        id: (first, last) for id, first, last, *facets in rows if fits(wanted, Facets(*facets))
    }
    if not groups:
        return
    first = max(after + 1, min(first for first, _ in groups.values()))
    last = max(last for _, last in groups.values())
    rows = db.execute(
        f"SELECT grp, parameters, messages, reply, {COLUMNS} FROM calls JOIN call_marks USING (id)"
        " WHERE calls.id BETWEEN ?1 AND ?2 AND (?3 IS NULL OR node = ?3) ORDER BY calls.id",
        (first, last, wanted.node),
    )
    while some := rows.fetchmany(500):
        fitting = [row for row in some if row[0] in groups]
        named = {name for row in fitting for _, name in json.loads(row[2])}
        bodies = texts(db, sorted(named | {row[3] for row in fitting if row[3]}))
        for _, parameters, messages, reply, *values in fitting:
            told = [(role, bodies[name]) for role, name in json.loads(messages)]
            yield CallRow(*values), parameters, told, bodies[reply] if reply else None
