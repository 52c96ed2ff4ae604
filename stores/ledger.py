"""The ledger: a row for every finished call, in one SQLite file: cache, trace and bill in one.

    texts     each distinct message or reply once, named by the hash of its words
    calls     one row per finished call, never changed: accepted, rejected or failed
    outcomes  what became of each node at each hop in each run, with the text it got
    runs      when a run began, with what, and how it ended
    batches   what was handed to a server as a batch, and what came back (stores.batches)
    answered  which question the text of a node answers

A row is committed before its answer is used, so a killed process has paid for nothing that is not
here. One thread writes; calls that finish together share a commit (WAL, synchronous=FULL). To look
at a ledger without writing: stores.trails.
"""

import asyncio
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from errors import StoreError
from stores.ledger_file import prepare
from stores.rows import (
    Call,
    Outcome,
    Past,
    Reply,
    insert_calls,
    insert_outcomes,
    insert_texts,
    whole,
)
from stores.sqlite_file import connect

_Work = Call | Callable[[sqlite3.Connection], object]
# Calls that end within so many seconds share a commit; their nodes wait for it, no slot does.
GATHER_S = 0.004
_Waiting = tuple[_Work, asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Ledger:
    """One SQLite file and the one thread that writes into it. Close it, or use `with`.

    It is looked through first, unless who opens it writes one row and has no second for that.
    """

    def __init__(self, path: Path, look_through: bool = True) -> None:
        self._path = path
        try:
            prepare(path, look_through)
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
        rows = self.read(
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

    def outcomes(self, run: str, hop: int, nodes: Sequence[str]) -> dict[str, Outcome]:
        """What became of these nodes at a hop in a run, without their keys; unsettled ones are
        left out.
        """
        rows = self.read(
            "SELECT node, hop, status, turns, reason, prompt, model, body"
            " FROM outcomes JOIN texts ON hash = text"
            " WHERE run = ? AND hop = ? AND node IN (SELECT value FROM json_each(?))",
            run,
            hop,
            json.dumps(nodes),
        )
        return {row[0]: Outcome(*row) for row in rows}

    def recent(self, model: str, endpoint: str, most: int = 100) -> list[Past]:
        """The last answers of a model, `most` of each prompt, whatever became of them."""
        rows = self.read(
            "SELECT prompt, messages, body, turn, status, input_tokens, output_tokens, latency_ms"
            " FROM (SELECT *, row_number() OVER (PARTITION BY prompt ORDER BY id DESC) AS place"
            " FROM calls WHERE model = ? AND endpoint = ? AND reply IS NOT NULL)"
            " JOIN texts ON hash = reply WHERE place <= ?",
            model,
            endpoint,
            most,
        )
        names = {name for row in rows for _, name in json.loads(row[1])}
        texts = dict(
            self.read(
                "SELECT hash, body FROM texts WHERE hash IN (SELECT value FROM json_each(?))",
                json.dumps(sorted(names)),
            )
        )
        return [
            Past(prompt, tuple(texts[n] for _, n in json.loads(messages)), *rest)
            for prompt, messages, *rest in rows
        ]

    def last_answered(self) -> dict[tuple[str, int], str]:
        """The key of the question that the newest text of a node at a hop answers."""
        rows = self.read(
            "SELECT node, hop, key FROM answered JOIN runs ON id = run ORDER BY started"
        )
        return {(node, hop): key for node, hop, key in rows}

    def repeat(self, fresh: bool) -> int:
        """Which asking this run belongs to: the last one, or with `fresh` the next.

        A fresh run that did not get to its end is gone on with, not begun once more.
        """
        last = self.read(
            "SELECT json_extract(settings, '$.repeat'), json_extract(settings, '$.fresh'),"
            " json_extract(summary, '$.ended') FROM runs ORDER BY started DESC LIMIT 1"
        )
        if not last:
            return 0
        repeat, was_fresh, ended = last[0]
        return int(repeat) + (fresh and not (was_fresh and ended != "done"))

    def read(self, sql: str, *values: str | int) -> list[tuple[Any, ...]]:
        """The rows a query finds. Raises StoreError where the file is damaged."""
        try:
            return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(
                f"The ledger {self._path} cannot be read: {error}.",
                hint=_mend(self._path),
            ) from error

    async def record(self, call: Call) -> None:
        """Returns when the call is on disk. Raises StoreError when it cannot be written."""
        await self.write(call)

    async def settle(self, run: str, outcomes: Sequence[Outcome]) -> None:
        """Write down what became of some nodes; all of them or none."""
        await self.write(lambda db: insert_outcomes(db, run, outcomes))

    async def begin_run(
        self, run: str, started: float, settings: dict[str, Any], templates: Sequence[str] = ()
    ) -> None:
        """Open a run; `settings` must hold no secret. Of its prompts' files the texts are kept."""

        def begin(db: sqlite3.Connection) -> None:
            insert_texts(db, templates)
            sql = "INSERT INTO runs (id, started, settings) VALUES (?, ?, ?)"
            db.execute(sql, (run, started, json.dumps(settings)))

        await self.write(begin)

    async def end_run(self, run: str, ended: float, summary: dict[str, Any]) -> None:
        """Close a run with its summary, however it ended."""
        sql = "UPDATE runs SET ended = ?, summary = ? WHERE id = ?"
        await self.write(lambda db: db.execute(sql, (ended, json.dumps(summary), run)))

    async def write(self, work: _Work) -> None:
        """Returns when the work is on disk: a call, or a function that is given the database.

        Raises StoreError when it cannot be written; then nothing of it is.
        """
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
        insert_calls(db, [work for work in works if isinstance(work, Call)])
        for work in works:
            if not isinstance(work, Call):
                work(db)
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


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
