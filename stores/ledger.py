"""The ledger: a row for every finished call, in one SQLite file: cache, trace and bill in one.

    texts     each distinct message or reply once, named by the hash of its words
    calls     one row per finished call, never changed: accepted, rejected or failed
    outcomes  what became of each node at each hop in each run, with the text it got
    runs      when a run began, with what, and how it ended

A row is committed before its answer is used, so a killed process has paid for nothing that is not
here. One thread writes; calls that finish together share a commit (WAL, synchronous=FULL).
"""

import asyncio
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from errors import StoreError
from stores.sqlite_file import check, connect, create

Status = Literal["accepted", "rejected", "failed"]
VERSION = 1

SCHEMA = """
CREATE TABLE texts (
    hash TEXT PRIMARY KEY,      -- digest(body)
    body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,          -- hash of everything that can change the answer
    run TEXT NOT NULL,
    stage TEXT NOT NULL,        -- item profiles, user profiles, hop 1, ...
    node TEXT NOT NULL,
    hop INTEGER NOT NULL,
    turn INTEGER NOT NULL,      -- 0 the question, n its n-th repair
    attempt INTEGER NOT NULL,   -- n-th try of this turn; the tries before it failed
    prompt TEXT NOT NULL,       -- name@version:digest
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    parameters TEXT NOT NULL,   -- JSON: sampling, schema, repeat
    messages TEXT NOT NULL,     -- JSON: [[role, text hash], ...]
    reply TEXT,                 -- text hash; NULL when there was no answer
    status TEXT NOT NULL CHECK (status IN ('accepted', 'rejected', 'failed')),
    reason TEXT NOT NULL,       -- why it was rejected or failed
    finish TEXT NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cost_nanousd INTEGER,       -- NULL: no price is known, which is not the same as free
    started REAL NOT NULL,      -- unix seconds
    latency_ms REAL NOT NULL
);
CREATE INDEX calls_by_key ON calls (key);
CREATE INDEX calls_by_node ON calls (node, hop);
CREATE TABLE outcomes (
    run TEXT NOT NULL,
    node TEXT NOT NULL,
    hop INTEGER NOT NULL,
    status TEXT NOT NULL,       -- written, unchanged, none, fallback, failed
    turns INTEGER NOT NULL,     -- replies it took
    reason TEXT NOT NULL,
    prompt TEXT NOT NULL,
    model TEXT NOT NULL,        -- who wrote the text
    text TEXT NOT NULL,         -- hash of the whole description
    PRIMARY KEY (run, node, hop)
) WITHOUT ROWID;
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    started REAL NOT NULL,
    settings TEXT NOT NULL,     -- JSON, without secrets
    ended REAL,
    summary TEXT                -- JSON
) WITHOUT ROWID;
"""


def digest(text: str) -> str:
    """The name of a text in the ledger: 32 hex digits of its SHA-256."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def whole(name: str, body: str) -> bool:
    """Whether a text is what its name says. Half characters were replaced after it was named."""
    return digest(body) == name or "?" in body


@dataclass(frozen=True, slots=True)
class Call:
    """One finished call. Messages and reply are whole texts; the ledger keeps each text once."""

    key: str
    run: str
    stage: str
    node: str
    hop: int
    turn: int
    attempt: int
    prompt: str
    model: str
    endpoint: str
    parameters: str
    messages: tuple[tuple[str, str], ...]
    reply: str | None
    status: Status
    reason: str
    finish: str
    input_tokens: int | None
    output_tokens: int | None
    cost_nanousd: int | None
    started: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What the ledger knows of a key: the last accepted answer, or else the last rejected one."""

    text: str
    finish: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a node at a hop, and the description it has now."""

    node: str
    hop: int
    status: str
    turns: int
    reason: str
    prompt: str
    model: str
    text: str


_COLUMNS = [f.name for f in fields(Call)]
_INSERT_CALL = (
    f"INSERT INTO calls ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
)
_INSERT_TEXT = "INSERT OR IGNORE INTO texts VALUES (?, ?)"
_INSERT_OUTCOME = "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_Work = Call | Callable[[sqlite3.Connection], object]
# Calls that end within so many seconds share a commit; their nodes wait for it, no slot does.
GATHER_S = 0.004
_Waiting = tuple[_Work, asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Ledger:
    """One SQLite file and the one thread that writes into it. Close it, or use `with`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            create(path, SCHEMA, VERSION)
            check(path, VERSION)
            self._reader = connect(path)
            self._writer = connect(path)
        except sqlite3.Error as error:
            raise StoreError(
                f"{path} cannot be used as a ledger: {error}.", hint=_mend(path)
            ) from error
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is waiting, then close the file."""
        self._queue.put(None)
        self._thread.join()
        self._writer.close()
        self._reader.close()

    def find(self, keys: Iterable[str]) -> dict[str, Reply]:
        """The stored replies to these keys; a key without one is left out."""
        rows = self._read(
            "SELECT key, hash, body, finish FROM calls JOIN texts ON hash = reply"
            " WHERE key IN (SELECT value FROM json_each(?)) AND status != 'failed'"
            " ORDER BY status = 'accepted', id",
            json.dumps(list(keys)),
        )
        for _, name, body, _ in rows:
            if not whole(name, body):
                raise StoreError(
                    f"The ledger {self._path} is damaged: a reply is not what was written.",
                    hint=_mend(self._path),
                )
        return {key: Reply(body, finish) for key, _, body, finish in rows}

    def repeat(self, fresh: bool) -> int:
        """Which asking this run belongs to: the last one, or with `fresh` the next.

        A fresh run that did not get to its end is gone on with, not begun once more.
        """
        last = self._read(
            "SELECT json_extract(settings, '$.repeat'), json_extract(settings, '$.fresh'),"
            " json_extract(summary, '$.ended') FROM runs ORDER BY started DESC LIMIT 1"
        )
        if not last:
            return 0
        repeat, was_fresh, ended = last[0]
        return int(repeat) + (fresh and not (was_fresh and ended != "done"))

    def _read(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        try:
            return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(
                f"The ledger {self._path} cannot be read: {error}.",
                hint=_mend(self._path),
            ) from error

    async def record(self, call: Call) -> None:
        """Returns when the call is on disk. Raises StoreError when it cannot be written."""
        await self._do(call)

    async def settle(self, run: str, outcomes: Sequence[Outcome]) -> None:
        """Write down what became of some nodes; all of them or none."""
        await self._do(lambda db: _insert_outcomes(db, run, outcomes))

    async def begin_run(self, run: str, started: float, settings: dict[str, Any]) -> None:
        """Open a run; `settings` must hold no secret."""
        sql = "INSERT INTO runs (id, started, settings) VALUES (?, ?, ?)"
        await self._do(lambda db: db.execute(sql, (run, started, json.dumps(settings))))

    async def end_run(self, run: str, ended: float, summary: dict[str, Any]) -> None:
        """Close a run with its summary, however it ended."""
        sql = "UPDATE runs SET ended = ?, summary = ? WHERE id = ?"
        await self._do(lambda db: db.execute(sql, (ended, json.dumps(summary), run)))

    async def _do(self, work: _Work) -> None:
        if not self._thread.is_alive():
            raise RuntimeError("The ledger's writer has died.")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._queue.put((work, loop, done))
        await done

    def _write(self) -> None:
        try:
            self._write_until_closed()
        finally:
            # Nobody may wait for ever for a writer that a bug has killed.
            while not self._queue.empty():
                if (left := self._queue.get()) is not None:
                    _tell([left], RuntimeError("The ledger's writer has died."))

    def _write_until_closed(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = [first], False
            time.sleep(GATHER_S)
            while not self._queue.empty() and len(batch) < 512:
                more = self._queue.get()
                if more is None:
                    last = True
                    break
                batch.append(more)
            error: Exception | None = RuntimeError("The ledger's writer has died.")
            try:
                _commit(self._writer, [work for work, _, _ in batch])
                error = None
            except sqlite3.Error as cause:
                error = StoreError(
                    f"The ledger {self._path} cannot be written: {cause}.",
                    hint="Make room or mend the permissions, then run the same command again.",
                )
                error.__cause__ = cause
            finally:
                _tell(batch, error)
            if last:
                return


def _mend(path: Path) -> str:
    return f"To save what is left of it: python cli.py stores rebuild --workspace {path.parent}"


def _commit(db: sqlite3.Connection, works: Sequence[_Work]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        _insert_calls(db, [work for work in works if isinstance(work, Call)])
        for work in works:
            if not isinstance(work, Call):
                work(db)
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _insert_calls(db: sqlite3.Connection, calls: Sequence[Call]) -> None:
    texts: dict[str, str] = {}

    def keep(text: str) -> str:
        name = digest(text)
        texts[name] = _encodable(text)
        return name

    rows = []
    for call in calls:
        messages = json.dumps([(role, keep(text)) for role, text in call.messages])
        reply = None if call.reply is None else keep(call.reply)
        row = {"messages": messages, "reply": reply}
        rows.append([row.get(name, getattr(call, name)) for name in _COLUMNS])
    db.executemany(_INSERT_TEXT, texts.items())
    db.executemany(_INSERT_CALL, rows)


def _encodable(text: str) -> str:
    """The text with half characters replaced: a model may stop in the middle of an emoji."""
    return text.encode("utf-8", "replace").decode()


def _insert_outcomes(db: sqlite3.Connection, run: str, outcomes: Sequence[Outcome]) -> None:
    rows = [(run, *astuple(outcome)[:-1], digest(outcome.text)) for outcome in outcomes]
    db.executemany(_INSERT_TEXT, {digest(o.text): _encodable(o.text) for o in outcomes}.items())
    db.executemany(_INSERT_OUTCOME, rows)


def _tell(batch: Sequence[_Waiting], error: Exception | None) -> None:
    for loop in {loop for _, loop, _ in batch}:
        waiting = [done for _, its_loop, done in batch if its_loop is loop]
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, waiting, error)


def _resolve(waiting: list["asyncio.Future[None]"], error: Exception | None) -> None:
    for done in waiting:
        if done.cancelled():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
