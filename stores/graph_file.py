"""The training graph in a file of the workspace: a node's surroundings come in milliseconds.

It holds training interactions and nothing else, as they went into the prompts, and can be made
again from the data at any time, but for the pairs of the `past`. It is the graph of the last
refine: data may have changed since.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import StoreError, UsageError
from stores.datasets import Dataset, Interaction, Item, User
from stores.sqlite_file import create

FILE = "graph.sqlite"
_VERSION = 2
_SCHEMA = """
CREATE TABLE about (digest TEXT NOT NULL, domain TEXT, language TEXT);      -- of the data
CREATE TABLE nodes (node TEXT PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE interactions (
    user TEXT NOT NULL, item TEXT NOT NULL, rating REAL, timestamp REAL, review TEXT,
    PRIMARY KEY (user, item)
) WITHOUT ROWID;
CREATE INDEX interactions_by_item ON interactions (item);
CREATE TABLE past (             -- was shown once, and has gone or reads otherwise now
    user TEXT NOT NULL, item TEXT NOT NULL,
    PRIMARY KEY (user, item)
) WITHOUT ROWID;
"""
_ROW = "user, item, rating, timestamp, review"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the training graph; `graph_ops.graph.build` makes a graph of it."""

    users: Mapping[str, User]
    items: Mapping[str, Item]
    interactions: tuple[Interaction, ...]


@dataclass(frozen=True, slots=True)
class About:
    """What the data says of itself."""

    digest: str
    domain: str | None
    language: str | None


def write(workspace: Path, data: Dataset, forgotten: Collection[str] = ()) -> None:
    """Write the file where there is none for this data, whole or not at all.

    What an earlier graph had and this one has not is noted without its words, but for the users
    (by id) who are `forgotten`.
    """
    path = workspace / FILE
    try:
        if path.exists() and _digest(path) == data.digest and not forgotten:
            return
        now = {(row.user, row.item): row.review or "" for row in data.training}
        past = {one for one, said in _shown(path) if said is None or now.get(one) != said}
        fresh = path.with_name(f"{FILE}.filling")
        fresh.unlink(missing_ok=True)
        create(fresh, _SCHEMA, _VERSION)
        _fill(fresh, data, sorted(one for one in past if one[0] not in forgotten))
        fresh.replace(path)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be written: {error}.") from error


def said_by(workspace: Path, users: Collection[str]) -> list[tuple[str, str | None]]:
    """The items that users (by id) had interactions with, and their reviews.

    None is for one that has gone, or was said otherwise at some time.
    """
    path = workspace / FILE
    try:
        return [(item, said) for (user, item), said in _shown(path) if user in users]
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be read: {error}.") from error


def known(workspace: Path) -> set[str] | None:
    """Every node of the graph; None where the file is not there or cannot be read."""
    path = workspace / FILE
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(path)) as db:
            return {node for (node,) in db.execute("SELECT node FROM nodes")}
    except sqlite3.Error:
        return None


@contextmanager
def reading(workspace: Path) -> Iterator[sqlite3.Connection]:
    """The file, to be read. Raises UsageError where there is none, StoreError for a damaged one."""
    path = workspace / FILE
    if not path.is_file():
        raise UsageError(
            f"{workspace} does not hold its training graph yet.",
            hint="Name the data once: python cli.py traces node NODE --data …",
        )
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            yield db
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreError(
            f"{path} cannot be read: {error}.", hint="Delete it: it is made again from the data."
        ) from error


def about(db: sqlite3.Connection) -> About:
    """Whose graph it is, its domain and its language."""
    return About(*db.execute("SELECT digest, domain, language FROM about").fetchone())


def around(db: sqlite3.Connection, node: str, radius: int = 1) -> Part:
    """A node (`user:42`), its interactions and its neighbours; with radius 2 also theirs.

    The interactions at the rim are left out, so the degree of a node there is not its degree in the
    whole graph. A node that is not in the data makes an empty part.
    """
    pairs: dict[tuple[str, str], Interaction] = {}
    seen, rim = {node}, [node]
    for _ in range(radius):
        rows = [row for one in rim for row in _interactions(db, one)]
        pairs.update({(row.user, row.item): row for row in rows})
        ends = {end for row in rows for end in (f"user:{row.user}", f"item:{row.item}")}
        rim = sorted(ends - seen)
        seen |= ends
    users, items = {}, {}
    for name, facts in _facts(db, seen).items():
        kind, _, id = name.partition(":")
        if kind == "user":
            users[id] = User(id, facts["attributes"])
        else:
            items[id] = Item(id, facts["title"], facts["description"], facts["attributes"])
    return Part(users, items, tuple(pairs[pair] for pair in sorted(pairs)))


def degree(db: sqlite3.Connection, node: str) -> int:
    """How many training interactions a node has."""
    kind, _, id = node.partition(":")
    column = "user" if kind == "user" else "item"
    return int(
        db.execute(f"SELECT count(*) FROM interactions WHERE {column} = ?", (id,)).fetchone()[0]
    )


def titles(db: sqlite3.Connection, nodes: list[str]) -> dict[str, str]:
    """The titles of items, by node; users and items without one are left out."""
    return {
        name: facts["title"] for name, facts in _facts(db, set(nodes)).items() if facts["title"]
    }


def _interactions(db: sqlite3.Connection, node: str) -> list[Interaction]:
    kind, _, id = node.partition(":")
    column = "user" if kind == "user" else "item"
    rows = db.execute(f"SELECT {_ROW} FROM interactions WHERE {column} = ?", (id,))
    return [Interaction(*row) for row in rows]


def _facts(db: sqlite3.Connection, nodes: set[str]) -> dict[str, dict[str, Any]]:
    rows = db.execute(
        "SELECT node, facts FROM nodes WHERE node IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(nodes)),),
    )
    return {node: json.loads(facts) for node, facts in rows}


def _digest(path: Path) -> str:
    db = sqlite3.connect(path)
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        return str(db.execute("SELECT digest FROM about").fetchone()[0]) if version else ""
    finally:
        db.close()


def _shown(path: Path) -> Iterator[tuple[tuple[str, str], str | None]]:
    """Every interaction of the file with its review, "" for none; None for those of the past."""
    if not path.exists():
        return
    with closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        for user, item, review in db.execute("SELECT user, item, review FROM interactions"):
            yield (user, item), review or ""
        if version > 1:
            yield from (((user, item), None) for user, item in db.execute("SELECT * FROM past"))


def _fill(path: Path, data: Dataset, past: Sequence[tuple[str, str]]) -> None:
    db = sqlite3.connect(path)
    try:
        with db:
            about = (data.digest, data.domain, data.language)
            db.execute("INSERT INTO about VALUES (?, ?, ?)", about)
            db.executemany("INSERT INTO nodes VALUES (?, ?)", _nodes(data))
            db.executemany(
                "INSERT INTO interactions VALUES (?, ?, ?, ?, ?)",
                ((r.user, r.item, r.rating, r.timestamp, r.review) for r in data.training),
            )
            db.executemany("INSERT INTO past VALUES (?, ?)", past)
        # One file without a log beside it, so that it can be put in its place in one step.
        db.execute("PRAGMA journal_mode = DELETE")
    finally:
        db.close()


def _nodes(data: Dataset) -> Iterator[tuple[str, str]]:
    for id, user in data.users.items():
        facts: dict[str, Any] = {
            "title": None,
            "description": None,
            "attributes": dict(user.attributes),
        }
        yield f"user:{id}", json.dumps(facts, ensure_ascii=False)
    for id, item in data.items.items():
        facts = {
            "title": item.title,
            "description": item.description,
            "attributes": dict(item.attributes),
        }
        yield f"item:{id}", json.dumps(facts, ensure_ascii=False)
