"""The body of `data forget`: users leave a data folder and everything a workspace wrote from them.

    ledger ─► embeddings ─► Chroma, made anew ─► trained runs ─► data folder ─► split, graph

The data folder comes late: until then it says which words to look for, so a command that was killed
goes on when it is given again.
"""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from agents.provenance import Words, written_from
from errors import UsageError
from settings import Settings, chroma_server, connection
from stores import graph_file, runs
from stores.changing import Doomed, remove
from stores.chroma import MARK, Server
from stores.datasets import interaction, load_training
from stores.descriptions import Descriptions
from stores.embedders import Embedder, open_embedder
from stores.formats.digest import content
from stores.formats.layout import Source, read_source
from stores.ledger_file import prepare
from stores.npz import read_npz
from stores.purge import keep_vectors, purge, still_there
from stores.rebuild import rebuild
from stores.rows import digest
from stores.sqlite_file import connect
from stores.trails.reading import LEDGER
from stores.vectors import windows
from stores.workspace import claim, must_own, occupied

LONG = 24
"""Characters; what is shorter stands in the texts of others by chance."""


def forget(data: Path, workspace: Path, nodes: Iterable[str], settings: Settings) -> dict[str, Any]:
    """Take users out of the data and the workspace. To forget somebody twice is no error.

    Raises UsageError for nodes that are no users, StoreError for a workspace of other data.
    """
    nodes = list(nodes)
    for node in nodes:
        if not node.startswith("user:") or node == "user:":
            raise UsageError(
                f"{node!r} is no user.", hint="Say user:ID. Items: python cli.py data remove"
            )
    ids = frozenset(node.removeprefix("user:") for node in nodes)
    with occupied(workspace):
        source = read_source(data)
        if (workspace / "workspace.json").exists():
            must_own(workspace, source.name, content(source), source.history)
        words, own = _said(source, workspace, ids)
        told: dict[str, Any] = {"data": str(data), "workspace": str(workspace)}
        if (workspace / LEDGER).is_file():
            told |= _from_stores(workspace, words, settings)
        told["runs"] = _drop_runs(workspace, ids)
        gone = remove(data, Doomed(frozenset(), ids, frozenset()))
        told["copies"] = _drop_copies(workspace, data.resolve())
        loaded = load_training(data, workspace / "split", settings.seed, partial(claim, workspace))
        graph_file.write(workspace, loaded, ids)
        told |= {"interactions": gone.removed, "unknown": gone.absent}
        told["still_in"] = [str(path) for path in still_there((workspace, data), own)]
    return told


def _said(source: Source, workspace: Path, ids: frozenset[str]) -> tuple[Words, frozenset[str]]:
    """What these users said, as the data has it now and as the workspace was last shown it.

    Besides, the long texts that nobody else wrote, for a last look through the files.
    """
    now = [(row.item, interaction(row).review) for row in source.rows if row.user in ids]
    then = graph_file.said_by(workspace, ids)
    reviews = frozenset((f"item:{item}", text) for item, text in [*now, *then] if text)
    past = frozenset(f"item:{item}" for item, text in then if text is None)
    theirs = {text for _, text in reviews}
    others: set[str] = set()
    for row in source.rows:
        (theirs if row.user in ids else others).update(filter(None, row[4:6]))
    for id, one in source.users.items():
        (theirs if id in ids else others).update(one.texts.values())
    for item in source.items.values():
        others.update(item.texts.values())
    # What stands within a text of somebody else stays there, and is no trace of theirs.
    elsewhere = "\0".join(others)
    own = frozenset(text for text in theirs if len(text) >= LONG and text not in elsewhere)
    return Words(frozenset(f"user:{id}" for id in ids), reviews, past), own


def _from_stores(workspace: Path, words: Words, settings: Settings) -> dict[str, Any]:
    ledger, server = workspace / LEDGER, _server(workspace, settings)
    stored = Descriptions(workspace / "chroma", server) if server else None
    prepare(ledger)
    with closing(connect(ledger)) as db:
        embedder = _embedder(db, settings)
        found = written_from(db, words)
    gone = purge(ledger, found.calls, found.outcomes, found.lines)
    vectors = _drop_vectors(workspace, embedder)
    # Chroma keeps deleted documents in its own file, and deleted vectors in its index.
    if (workspace / "chroma").exists():
        shutil.rmtree(workspace / "chroma")
    if stored is not None:
        stored.drop_above(-1)
        stored.close()
    kept = rebuild(workspace, lambda _: embedder, server)
    return {
        "calls": gone.calls,
        "cost_usd": gone.cost / 1e9,
        "descriptions": gone.outcomes,
        "texts": gone.texts,
        "vectors": vectors,
        "kept": kept.descriptions,
        "embedded": kept.embedded,
    }


def _server(workspace: Path, settings: Settings) -> Server | None:
    """The Chroma server of a workspace. Raises UsageError where there was one and none is named."""
    server = chroma_server(settings)
    if server is None and (workspace / MARK).exists():
        raise UsageError(
            f"Descriptions of the workspace {workspace} were kept on a Chroma server.",
            hint=f"Name it: --chroma http://HOST:8000. If it is gone, delete {workspace / MARK}.",
        )
    return server


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


def _drop_copies(workspace: Path, data: Path) -> list[str]:
    """Drop what `stores rebuild` put aside, and what a change that was killed left beside the data.

    Damaged or half-written as they are, all of these may hold the words.
    """
    copies = [path for path in workspace.iterdir() if ".damaged-" in path.name]
    for path in data.parent.iterdir():
        if path.name.startswith(f".{data.name}.") and path.suffix in (".old", ".tmp"):
            copies.append(path)
    for path in copies:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return sorted(path.name for path in copies)
