"""The body of `data forget`: users leave a data folder and everything a workspace wrote from them.

    ledger ─► embeddings ─► Chroma, made anew ─► trained runs ─► data folder ─► split, graph

The data folder comes late: until then it says which words to look for, so a command that was killed
goes on when it is given again.
"""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agents.provenance import Words, written_from
from errors import UsageError
from settings import Settings, connection
from stores import graph_file, runs
from stores.changing import Doomed, remove
from stores.datasets import interaction, load_training
from stores.embedders import Embedder, open_embedder
from stores.formats.layout import Source, read_source
from stores.ledger_file import prepare
from stores.npz import read_npz
from stores.purge import keep_vectors, purge, still_there
from stores.rebuild import rebuild
from stores.rows import digest
from stores.sqlite_file import connect
from stores.trails.reading import LEDGER
from stores.vectors import windows
from stores.workspace import claim, occupied

LONG = 24
"""Characters; what is shorter stands in the texts of others by chance."""


@dataclass(frozen=True)
class Leaving:
    """Who is to be forgotten: nodes and ids, with what they said."""

    nodes: frozenset[str]
    ids: frozenset[str]
    words: Words
    # Long texts that nobody else wrote, for a last look through the files.
    own: frozenset[str]


def forget(data: Path, workspace: Path, nodes: Iterable[str], settings: Settings) -> dict[str, Any]:
    """Forget users. What is found in no file any more counts as forgotten: it may be told again.

    Raises UsageError for nodes that are no users.
    """
    names = frozenset(nodes)
    for node in names:
        if not node.startswith("user:") or node == "user:":
            raise UsageError(
                f"{node!r} is no user.", hint="Say user:ID. Items: python cli.py data remove"
            )
    ids = frozenset(node.removeprefix("user:") for node in names)
    with occupied(workspace):
        leaving = _leaving(read_source(data), workspace, names, ids)
        told: dict[str, Any] = {"data": str(data), "workspace": str(workspace)}
        if (workspace / LEDGER).is_file():
            told |= _from_stores(workspace, leaving, settings)
        told["runs"] = _drop_runs(workspace, ids)
        told["copies"] = _drop_copies(workspace)
        gone = remove(data, Doomed(frozenset(), ids, frozenset()))
        loaded = load_training(data, workspace / "split", settings.seed, partial(claim, workspace))
        graph_file.write(workspace, loaded, ids)
        told |= {"interactions": gone.removed, "unknown": gone.absent}
        told["still_in"] = [str(path) for path in still_there((workspace, data), leaving.own)]
    return told


def _leaving(
    source: Source, workspace: Path, nodes: frozenset[str], ids: frozenset[str]
) -> Leaving:
    """What these users said, as the data has it now and as the workspace was last shown it."""
    said = [(row.item, interaction(row).review) for row in source.rows if row.user in ids]
    then = graph_file.said_by(workspace, ids)
    reviews = {(f"item:{item}", text) for item, text in [*said, *then] if text}
    past = frozenset(f"item:{item}" for item, text in then if text is None)
    texts = {text for row in source.rows if row.user in ids for text in (row.review, row.summary)}
    texts |= {one for id in ids & source.users.keys() for one in source.users[id].texts.values()}
    texts |= {text for _, text in reviews}
    others = {text for row in source.rows if row.user not in ids for text in row[4:6]}
    others |= {t for id, one in source.users.items() if id not in ids for t in one.texts.values()}
    own = frozenset(text for text in texts - others if text and len(text) >= LONG)
    return Leaving(nodes, ids, Words(nodes, frozenset(reviews), past), own)


def _from_stores(workspace: Path, leaving: Leaving, settings: Settings) -> dict[str, Any]:
    ledger = workspace / LEDGER
    prepare(ledger)
    with closing(connect(ledger)) as db:
        embedder = _embedder(db, settings)
        found = written_from(db, leaving.words)
    gone = purge(ledger, found.calls, found.outcomes, found.lines)
    vectors = _drop_vectors(workspace, embedder)
    # Chroma keeps deleted documents in its own file, and deleted vectors in its index.
    shutil.rmtree(workspace / "chroma", ignore_errors=True)
    kept = rebuild(workspace, lambda _: embedder)
    return {
        "calls": gone.calls,
        "cost_usd": gone.cost / 1e9,
        "descriptions": gone.outcomes,
        "texts": gone.texts,
        "vectors": vectors,
        "kept": kept.descriptions,
        "embedded": kept.embedded,
    }


def _embedder(db: sqlite3.Connection, settings: Settings) -> Embedder:
    """The one of the last run. It is opened before anything is deleted: it may not be there."""
    last = db.execute(
        "SELECT json_extract(settings, '$.embedder') FROM runs ORDER BY started DESC LIMIT 1"
    ).fetchone()
    name = (last and last[0]) or settings.embedder
    return open_embedder(connection(settings.reach(name), must_have_key=False))


def _drop_vectors(workspace: Path, embedder: Embedder) -> int:
    """Drop what belongs to no text that is left; of other embedders all, it is only a cache."""
    path = workspace / "vectors.sqlite"
    if not path.is_file():
        return 0
    with closing(connect(workspace / LEDGER)) as db:
        texts = db.execute("SELECT body FROM texts WHERE hash IN (SELECT text FROM outcomes)")
        pieces = {
            digest(piece)
            for (text,) in texts
            for piece in windows(text or "None", embedder.window, embedder.count)
        }
    return keep_vectors(path, embedder.name, pieces)


def _drop_runs(workspace: Path, ids: frozenset[str]) -> list[str]:
    """Drop trained runs that know one of the users: what was learnt from them cannot be taken out.

    A run that is not finished is dropped as well.
    """
    dropped = []
    for folder in sorted(path for path in (workspace / "runs").glob("*") if path.is_dir()):
        try:
            (users,) = read_npz(folder / runs.EMBEDDINGS, "users")
            knows = not ids.isdisjoint(users.tolist())
        except (OSError, ValueError):
            knows = True
        if knows:
            shutil.rmtree(folder)
            dropped.append(folder.name)
    return dropped


def _drop_copies(workspace: Path) -> list[str]:
    """Drop what `stores rebuild` put aside, damaged as it is: all of it may hold the words."""
    copies = sorted(path for path in workspace.iterdir() if ".damaged-" in path.name)
    for path in copies:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return [path.name for path in copies]
