"""A workspace's ledger, opened to be read and nothing else."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from errors import StoreError, UsageError
from stores.ledger_file import bring_up_to_date, must_be_readable

LEDGER = "ledger.sqlite"


@contextmanager
def reading(workspace: Path) -> Iterator[sqlite3.Connection]:
    """The ledger of a workspace, read-only; a run may go on writing into it meanwhile.

    Opening takes less than a millisecond, so open one for each request or command. All that is read
    inside one `with` is of one moment. An older ledger is brought up to date first, once, which
    takes some seconds for a million calls.

    Raises UsageError where there is no ledger, StoreError where it is damaged (also inside the
    `with`), of a later version, or older and not to be written to.
    """
    path = workspace / LEDGER
    if not path.is_file():
        raise UsageError(
            f"The workspace {workspace} holds no ledger: nothing was asked in it yet.",
            hint="python cli.py refine --workspace …, or name another --workspace.",
        )
    try:
        db = _opened(path)
        try:
            if not must_be_readable(db, path):
                db.close()
                bring_up_to_date(path)
                db = _opened(path)
            db.execute("BEGIN")
            yield db
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreError(
            f"The ledger {path} cannot be read: {error}.",
            hint="To save what is left of it: "
            f"python cli.py stores rebuild --workspace {workspace}",
        ) from error


def _opened(path: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(path.resolve()))}"
    try:
        return _connected(f"{address}?mode=ro")
    except sqlite3.OperationalError:
        if any(path.with_name(path.name + end).exists() for end in ("-wal", "-shm")):
            raise
        # A folder that cannot be written to: nobody writes into the ledger either.
        return _connected(f"{address}?immutable=1")


def _connected(address: str) -> sqlite3.Connection:
    db = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA query_only = 1")
    # A file that cannot be opened tells it at the first look, not before.
    db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return db
