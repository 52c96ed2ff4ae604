"""What was handed to a server as a batch, written down before it is sent.

A batch is intended (its lines are on disk), uploaded (it has a file), created (it has the server's
name) and harvested (all that came back is in the ledger). A process that dies in between leaves a
row that says how far it came.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

from stores.ledger import Ledger
from stores.rows import Call, digest, insert_calls, insert_texts

INTENDED = "intended"
DROPPED = "never sent"
GONE = "gone"
"""Words of ours for a batch's status; the others are the server's."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch. Its `name` is ours, `batch` is the server's; `most` is what it can cost."""

    name: str
    run: str
    model: str
    endpoint: str
    stage: str
    hop: int
    turn: int
    attempt: int
    language: str | None
    most: int
    file: str | None
    batch: str | None
    status: str
    created: float
    harvested: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """One question of a batch, with all that its row in the ledger will say."""

    key: str
    node: str
    prompt: str
    form: str
    max_words: int
    parameters: str
    messages: tuple[tuple[str, str], ...]


_COLUMNS = ", ".join(field.name for field in fields(Batch))
_INSERT_BATCH = f"INSERT INTO batches ({_COLUMNS}) VALUES ({', '.join('?' * len(fields(Batch)))})"
_INSERT_LINE = (
    "INSERT INTO batch_lines (name, key, node, prompt, form, max_words, parameters, messages)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class Batches:
    """The batches of a workspace, in its ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def all(self) -> list[Batch]:
        """Every batch, oldest first."""
        return self._some("ORDER BY created, name")

    def open(self) -> list[Batch]:
        """The batches that were not harvested, oldest first."""
        return self._some("WHERE harvested IS NULL ORDER BY created, name")

    def about(self, keys: Iterable[str]) -> list[Batch]:
        """The batches with one of these questions that were not harvested, oldest first."""
        return self._some(
            "WHERE harvested IS NULL AND name IN (SELECT name FROM batch_lines WHERE key IN"
            " (SELECT value FROM json_each(?))) ORDER BY created, name",
            json.dumps(list(keys)),
        )

    def keys(self, name: str) -> set[str]:
        """The questions of a batch, by key."""
        rows = self._ledger.read("SELECT key FROM batch_lines WHERE name = ?", name)
        return {key for (key,) in rows}

    def size(self, name: str) -> int:
        """How many questions a batch holds."""
        return int(self._ledger.read("SELECT count(*) FROM batch_lines WHERE name = ?", name)[0][0])

    def counts(self) -> dict[str, tuple[int, int]]:
        """How many questions each batch has, and how many of them are in the ledger."""
        rows = self._ledger.read(
            "SELECT name, count(*), sum(recorded) FROM batch_lines GROUP BY name"
        )
        return {name: (lines, recorded) for name, lines, recorded in rows}

    def lines(self, name: str, keys: Iterable[str]) -> dict[str, Line]:
        """The lines with these keys whose call is not in the ledger, by key."""
        rows = self._ledger.read(
            "SELECT key, node, prompt, form, max_words, parameters, messages FROM batch_lines"
            " WHERE name = ? AND NOT recorded AND key IN (SELECT value FROM json_each(?))",
            name,
            json.dumps(list(keys)),
        )
        wanted = {name for row in rows for _, name in json.loads(row[6])} | {row[5] for row in rows}
        texts = dict(
            self._ledger.read(
                "SELECT hash, body FROM texts WHERE hash IN (SELECT value FROM json_each(?))",
                json.dumps(sorted(wanted)),
            )
        )
        return {
            key: Line(
                *(key, node, prompt, form, max_words),
                texts[parameters],
                tuple((role, texts[text]) for role, text in json.loads(messages)),
            )
            for key, node, prompt, form, max_words, parameters, messages in rows
        }

    async def intend(self, batch: Batch, lines: Sequence[Line]) -> None:
        """Write down what is about to be sent; all of it or nothing."""

        def insert(db: sqlite3.Connection) -> None:
            insert_texts(db, [text for line in lines for _, text in line.messages])
            insert_texts(db, {line.parameters for line in lines})
            db.execute(_INSERT_BATCH, astuple(batch))
            db.executemany(_INSERT_LINE, [_row(batch.name, line) for line in lines])

        await self._ledger.write(insert)

    async def uploaded(self, name: str, file: str) -> None:
        """The server has the file of a batch."""
        await self._set(name, "file = ?", file)

    async def created(self, name: str, batch: str, status: str) -> None:
        """The server has the batch, under this name."""
        await self._set(name, "batch = ?, status = ?", batch, status)

    async def became(self, name: str, status: str) -> None:
        """The server calls the batch this now."""
        await self._set(name, "status = ?", status)

    async def record(self, name: str, calls: Sequence[Call]) -> None:
        """Put what came back into the ledger: the calls, and the marks that they are there."""

        def insert(db: sqlite3.Connection) -> None:
            insert_calls(db, calls)
            db.executemany(
                "UPDATE batch_lines SET recorded = 1 WHERE name = ? AND key = ?",
                [(name, call.key) for call in calls],
            )

        await self._ledger.write(insert)

    async def close(self, name: str, status: str) -> None:
        """All that came back is in the ledger; nothing more will."""
        await self._set(name, "status = ?, harvested = ?", status, time.time())

    async def _set(self, name: str, what: str, *values: str | float) -> None:
        sql = f"UPDATE batches SET {what} WHERE name = ?"
        await self._ledger.write(lambda db: db.execute(sql, (*values, name)))

    def _some(self, which: str, *values: str) -> list[Batch]:
        rows = self._ledger.read(f"SELECT {_COLUMNS} FROM batches {which}", *values)
        return [Batch(*row) for row in rows]


def _row(name: str, line: Line) -> tuple[str | int, ...]:
    messages = json.dumps([(role, digest(text)) for role, text in line.messages])
    return (
        *(name, line.key, line.node, line.prompt, line.form, line.max_words),
        *(digest(line.parameters), messages),
    )
