"""Rows taken out of a workspace's files so that no byte of them stays behind.

SQLite leaves deleted rows on free pages and in its write-ahead log; so what is deleted is
overwritten, the file is built anew and the log is cut to nothing.
"""

import json
import mmap
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from errors import StoreError
from stores.ledger_file import prepare
from stores.sqlite_file import connect
from stores.summaries import FILL

SUMMARIES = ("call_groups", "call_marks", "call_latencies", "outcome_groups")


@dataclass(frozen=True, slots=True)
class Purged:
    """What went from a ledger, and what its calls had cost (nano-dollars)."""

    calls: int
    outcomes: int
    texts: int
    cost: int


@contextmanager
def without_a_trace(path: Path) -> Iterator[sqlite3.Connection]:
    """A file in one transaction, after which nothing that was deleted can be read in it.

    Raises StoreError where the file cannot be written or is damaged.
    """
    try:
        with closing(connect(path)) as db:
            db.execute("PRAGMA secure_delete = ON")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be cleaned: {error}.") from error


def purge(
    path: Path,
    calls: Collection[int],
    outcomes: Collection[tuple[str, str, int]],
    lines: Collection[tuple[str, str]],
) -> Purged:
    """Delete these rows of a ledger, and the texts that no other row names.

    Raises StoreError where a line's batch has not been fetched: its answer would come back.
    """
    prepare(path)
    these, ids = "id IN (SELECT value FROM json_each(?))", json.dumps(sorted(calls))
    with without_a_trace(path) as db:
        _must_be_fetched(db, {name for name, _ in lines})
        names = _named(db, these, ids) | _names_of(db, outcomes, lines)
        sql = f"SELECT sum(cost_nanousd) FROM calls WHERE {these}"
        (cost,) = db.execute(sql, (ids,)).fetchone()
        db.execute(f"DELETE FROM calls WHERE {these}", (ids,))
        for table in ("outcomes", "answered"):
            db.executemany(f"DELETE FROM {table} WHERE (run, node, hop) = (?, ?, ?)", outcomes)
        db.executemany("DELETE FROM batch_lines WHERE (name, key) = (?, ?)", lines)
        orphans = names - _named(db, "1") - _names_of(db)
        db.executemany("DELETE FROM texts WHERE hash = ?", [(name,) for name in orphans])
        for table in SUMMARIES:
            db.execute(f"DELETE FROM {table}")
        for statement in FILL.split(";"):
            db.execute(statement)
    return Purged(len(calls), len(outcomes), len(orphans), cost or 0)


def _must_be_fetched(db: sqlite3.Connection, names: Iterable[str]) -> None:
    for name in names:
        sql = "SELECT 1 FROM batches WHERE name = ? AND harvested IS NULL"
        if db.execute(sql, (name,)).fetchone():
            raise StoreError(
                f"The batch {name} holds such a question and is still open.",
                hint="First: python cli.py batch cancel --all, or batch fetch when it has ended.",
            )


def _named(db: sqlite3.Connection, which: str, *values: str) -> set[str]:
    """The texts that calls name."""
    found: set[str] = set()
    for messages, reply in db.execute(f"SELECT messages, reply FROM calls WHERE {which}", values):
        found |= {name for _, name in json.loads(messages)} | {reply}
    return found


def _names_of(
    db: sqlite3.Connection,
    outcomes: Collection[tuple[str, str, int]] | None = None,
    lines: Collection[tuple[str, str]] | None = None,
) -> set[str]:
    """The texts that these outcomes and lines of batches name, or all of them."""
    texts = db.execute("SELECT run, node, hop, text FROM outcomes")
    found = {row[3] for row in texts if outcomes is None or row[:3] in outcomes}
    for *line, parameters, messages in db.execute(
        "SELECT name, key, parameters, messages FROM batch_lines"
    ):
        if lines is None or tuple(line) in lines:
            found |= {name for _, name in json.loads(messages)} | {parameters}
    return found


def keep_vectors(path: Path, embedder: str, hashes: Collection[str]) -> int:
    """Delete every vector but those of `embedder` for these pieces of text. Says how many went."""
    with without_a_trace(path) as db:
        done = db.execute(
            "DELETE FROM vectors WHERE embedder != ?"
            " OR hash NOT IN (SELECT value FROM json_each(?))",
            (embedder, json.dumps(sorted(hashes))),
        )
        return done.rowcount


def still_there(folders: Iterable[Path], texts: Iterable[str]) -> list[Path]:
    """The files below `folders` in which one of these texts stands, in any spelling of ours.

    What is compressed (parquet) is not looked into.
    """
    spelt = {
        spelling
        for text in texts
        for spelling in (
            text.encode(),
            json.dumps(text)[1:-1].encode(),
            json.dumps(text, ensure_ascii=False)[1:-1].encode(),
            text.encode("utf-16-le"),
        )
    }
    files = (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    return [path for path in files if path.stat().st_size and _holds(path, spelt)]


def _holds(path: Path, spelt: Iterable[bytes]) -> bool:
    with (
        path.open("rb") as file,
        closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data,
    ):
        return any(data.find(one) >= 0 for one in spelt)
