"""The workspace: one folder with everything a data set's runs leave behind, used by one process.

workspace.json   whose data this is
ledger.sqlite    every call (stores.ledger)
vectors.sqlite   embeddings by text (stores.vectors)
graph.sqlite     the training graph, to look at (stores.graph_file)
prompts/         prompts that take the place of the shipped ones
chroma/          descriptions and embeddings per hop (stores.descriptions)
chroma.id        this workspace's mark, where they are on a server (stores.chroma)
servers.json     what servers turned out to understand
split/           the split, where the data has none of its own (stores.splits)
runs/            a folder a run
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from errors import StoreError


@contextmanager
def occupied(folder: Path) -> Iterator[Path]:
    """Make the folder if it is missing and hold it for this process alone.

    Two processes on one Chroma folder destroy it, so a second one is refused. The lock goes with
    the process, even a killed one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The workspace {folder} cannot be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK):
        raise StoreError(f"The workspace {folder} cannot be written to.")
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoreError(
            f"Another Hopscribe process is using the workspace {folder}.",
            hint="Wait for it to end, or give this run another --workspace.",
        ) from error
    except OSError as error:
        raise StoreError(f"The workspace {folder} cannot be used: {error.strerror}.") from error
    try:
        yield folder
    finally:
        lock.release()


def claim(folder: Path, data: str, digest: str, earlier: Sequence[str] = ()) -> None:
    """Write down whose data this workspace holds. Raises StoreError if it is somebody else's.

    `earlier` are the digests that the data had before it was changed: a workspace of one of these
    follows it.
    """
    path = folder / "workspace.json"
    if path.exists() and must_own(folder, data, digest, earlier):
        return
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"data": data, "digest": digest}, indent=2) + "\n", "utf-8")
    fresh.replace(path)


def must_own(folder: Path, data: str, digest: str, earlier: Sequence[str] = ()) -> bool:
    """Whether a workspace is of this data as it is now; False for one of an earlier state of it.

    Raises StoreError where it is neither.
    """
    path = folder / "workspace.json"
    try:
        owner = json.loads(path.read_text("utf-8"))
        found, name = owner["digest"], owner["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is not a workspace file of Hopscribe.") from error
    if found == digest or found in earlier:
        return bool(found == digest)
    raise StoreError(
        f"The workspace {folder} belongs to other data: {name} as it was then.",
        hint="Give this data another --workspace. Where it is the same data and has changed, bring"
        " changes in by data import --append and data remove: they write down what it was.",
    )


def recall(folder: Path, server: str) -> str:
    """What an earlier run learnt about a server, or nothing."""
    return _servers(folder).get(server, "")


def remember(folder: Path, server: str, learnt: str) -> None:
    """Write down what a run learnt about a server, for the next one."""
    known = _servers(folder)
    if learnt and known.get(server) != learnt:
        fresh = folder / "servers.new"
        fresh.write_text(json.dumps({**known, server: learnt}, indent=2) + "\n", "utf-8")
        fresh.replace(folder / "servers.json")


def _servers(folder: Path) -> dict[str, str]:
    try:
        known = json.loads((folder / "servers.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # it is found out again
    return {str(k): str(v) for k, v in known.items()} if isinstance(known, dict) else {}
