"""The ledger's file: made new, brought up to date from an older version, looked through.

Version 1 had calls, texts, outcomes, runs and batches. Version 2 says which question a node's text
answers (`answered`) and counts as it is written (stores.summaries). What version 1 wrote stays as
it is; it is counted once, when the file is first opened by this version.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from errors import StoreError
from stores.rows import ANSWERED, SCHEMA
from stores.sqlite_file import check, connect, create
from stores.summaries import FILL, TABLES, TRIGGERS

VERSION = 2
READABLE = (1, VERSION)


def prepare(path: Path, look_through: bool = True) -> None:
    """Make the ledger if it is missing, look through it, bring it up to date.

    Raises sqlite3.Error for what is damaged, StoreError for a file of a later version.
    """
    create(path, SCHEMA + TABLES + TRIGGERS, VERSION)
    if look_through:
        check(path, *READABLE)
    bring_up_to_date(path)


def bring_up_to_date(path: Path) -> None:
    """Give an older ledger what it lacks, all of it or nothing; a current one is left alone.

    Raises StoreError for a file of a later version.
    """
    with closing(connect(path)) as db:
        if must_be_readable(db, path):
            return
        # Asked again under the lock: two processes may come here at once.
        db.execute("BEGIN IMMEDIATE")
        if _version(db) == 1:
            # executescript would commit what was begun.
            for statement in _statements(ANSWERED + TABLES + FILL + TRIGGERS):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")


def count_anew(db: sqlite3.Connection) -> None:
    """Add the summaries to a ledger that has none, from its rows."""
    db.executescript(TABLES + FILL + TRIGGERS)


def must_be_readable(db: sqlite3.Connection, path: Path) -> bool:
    """Whether a ledger is of this version; an older one has to be brought up to date first.

    Raises StoreError for a file of a later version.
    """
    found = _version(db)
    if found not in READABLE:
        raise StoreError(
            f"{path} was written by another Hopscribe (version {found}, not {VERSION}).",
            hint="Use that version, or another --workspace.",
        )
    return found == VERSION


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> list[str]:
    """The statements of a script; a trigger is one of them."""
    found, current = [], ""
    for piece in script.split(";"):
        current += piece + ";"
        if sqlite3.complete_statement(current):
            found.append(current)
            current = ""
    return found
