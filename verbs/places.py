"""Where the verbs that look find things: the workspace of some data, its ledger, a node in it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from errors import UsageError
from settings import Settings, load
from stores import graph_file
from stores.datasets import load_training
from stores.trails.nodes import near, runs_with
from stores.trails.reading import LEDGER, reading
from stores.workspace import claim, occupied


def must_be_folder(data: Path) -> None:
    """Raises UsageError where there is no data folder."""
    if not data.is_dir():
        raise UsageError(f"--data: {data} is not a folder.", hint="See: python cli.py data import")


def must_be_workspace(folder: Path, data: Path) -> None:
    """Raises UsageError for a folder that nothing was written to: to look must not make one."""
    if not (folder / "workspace.json").exists():
        raise UsageError(
            f"{folder} is no workspace: nothing was refined or trained there.",
            hint="Are --data and --workspace right? Then train first: python cli.py train --data "
            f"{data} --workspace {folder}",
        )


def workspace_of(data: Path, workspace: Path | None) -> Path:
    """The workspace that was named, or the data's own."""
    return workspace or Path("workspace") / data.resolve().name


@contextmanager
def looked_into(workspace: Path) -> Iterator[sqlite3.Connection | None]:
    """The ledger to be read, or None where nothing was asked yet."""
    if not (workspace / LEDGER).is_file():
        yield None
        return
    with reading(workspace) as db:
        yield db


def must_know_the_graph(workspace: Path, data: Path, settings: Settings) -> None:
    """See to it that the workspace has its training graph in a file; made from the data if not.

    Raises StoreError where the workspace belongs to other data.
    """
    if (workspace / graph_file.FILE).is_file():
        return
    must_be_folder(data)
    with occupied(workspace):
        known = load_training(data, workspace / "split", settings.seed, partial(claim, workspace))
        graph_file.write(workspace, known)


def settings_here() -> Settings:
    """The settings of the folder that the command is given in."""
    return load({}, Path.cwd())


def node_named(db: sqlite3.Connection, name: str) -> str:
    """The node that was meant: `user:42`, or `42` where only one node has that id."""
    if name.startswith(("user:", "item:")):
        return name
    found = [node for kind in ("user", "item") if runs_with(db, node := f"{kind}:{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{name!r} is a user and an item.", hint=f"Say {' or '.join(found)}.")
    raise UsageError(f"No run described {name!r}.", hint=near(db, name))
