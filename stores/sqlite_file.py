"""A SQLite file of ours: made whole or not at all, and looked through before it is used."""

import sqlite3
from pathlib import Path

from errors import StoreError


def connect(path: Path) -> sqlite3.Connection:
    """A connection that commits on its own and whose commits are on disk when they return."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db


def create(path: Path, schema: str, version: int) -> None:
    """Make the file where there is none, all of it or nothing: an empty file is damage."""
    if path.exists():
        return
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    db = sqlite3.connect(fresh, isolation_level=None)
    db.executescript(
        f"PRAGMA journal_mode = WAL; BEGIN; {schema} PRAGMA user_version = {version}; COMMIT;"
    )
    db.close()
    fresh.replace(path)


def check(path: Path, *versions: int) -> None:
    """Look through every page (a second for a gigabyte that is in the disk cache).

    Raises sqlite3.DatabaseError for what is damaged, StoreError for a file of none of `versions`.
    """
    if path.stat().st_size == 0:
        raise sqlite3.DatabaseError("the file is empty")
    db = sqlite3.connect(path, isolation_level=None)
    try:
        (found,) = db.execute("PRAGMA user_version").fetchone()
        if found not in versions:
            raise StoreError(
                f"{path} was written by another Hopscribe (version {found}, not {versions[-1]}).",
                hint="Use that version, or another --workspace.",
            )
        (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
    finally:
        db.close()
    if said != "ok":
        raise sqlite3.DatabaseError(" ".join(str(said).replace("***", "").split()))


def move_aside(path: Path) -> Path:
    """Rename a damaged file or folder, what lies beside a SQLite file included. Says to what."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for ending in ("-wal", "-shm"):
        beside = path.with_name(path.name + ending)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + ending))
    path.rename(aside)
    return aside
