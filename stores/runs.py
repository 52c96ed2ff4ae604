"""The folders of training runs: `runs/<name>/` in a workspace.

run.json          settings, data, results: everything but numbers by the thousand
embeddings.npz    node embeddings of the first seed, with the ids they belong to
seed-<n>/         checkpoint and epochs of a seed; of a try of --tune there is nothing else
curves.png        loss and validation by epoch;  events.* for TensorBoard in seed-<n>/
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import StoreError, UsageError
from stores.npz import read_npz

RUN, EMBEDDINGS = "run.json", "embeddings.npz"


@dataclass(frozen=True)
class Embeddings:
    """Trained node embeddings, shape (N, D): users first, each side in the order of its ids."""

    users: list[str]
    items: list[str]
    nodes_ND: NDArray[np.float32]


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What cannot be written meanwhile, as on a full disk, is told by a StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written: {error.strerror or error}.",
            hint="Make room, and repeat the command: it goes on from its checkpoints.",
        ) from error


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write run.json, whole or not at all."""
    fresh = folder / f"{RUN}.new"
    fresh.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    fresh.replace(folder / RUN)


def read_record(folder: Path) -> dict[str, Any]:
    """Raises StoreError where run.json is missing or damaged, or an older Hopscribe wrote it."""
    path = folder / RUN
    hint = "Repeat the command that trained it: what its checkpoints hold is not trained again."
    try:
        record = json.loads(path.read_text("utf-8"))
        record["name"], record["finished"], record["settled"]
    except KeyError as error:
        raise StoreError(f"{path} has no {error}: is it an older Hopscribe's?", hint) from error
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path} is no record of a training run: {error}.", hint) from error
    return dict(record)


def write_embeddings(folder: Path, found: Embeddings) -> None:
    fresh = folder / "embeddings.new.npz"
    np.savez(
        fresh,
        users=np.array(found.users, dtype=np.str_),
        items=np.array(found.items, dtype=np.str_),
        nodes=found.nodes_ND,
    )
    fresh.replace(folder / EMBEDDINGS)


def read_embeddings(folder: Path, users: Sequence[str], items: Sequence[str]) -> Embeddings:
    """Raises StoreError where they are missing, damaged or of other users and items."""
    path = folder / EMBEDDINGS
    try:
        known_users, known_items, nodes_ND = read_npz(path, "users", "items", "nodes")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}.", hint="Train again.") from error
    found = Embeddings(known_users.tolist(), known_items.tolist(), nodes_ND)
    if found.users != list(users) or found.items != list(items):
        raise StoreError(f"{path} was trained on other users and items.", hint="Train again.")
    return found


def _folders(workspace: Path) -> list[Path]:
    return sorted(path.parent for path in (workspace / "runs").glob(f"*/{RUN}"))


def finished(workspace: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Finished runs with a record that can be read, the newest first."""
    records = []
    for folder in _folders(workspace):
        with suppress(StoreError):
            records.append((folder, read_record(folder)))
    done = [(folder, record) for folder, record in records if record["finished"]]
    yield from sorted(done, key=lambda one: str(one[1]["finished"]), reverse=True)


def named(workspace: Path, name: str | None, settled: str) -> tuple[Path, dict[str, Any]]:
    """The run of this name, or the newest of the data as it is, with its split: `settled`.

    Raises UsageError where there is none, StoreError where the data or its split has changed since,
    or the record is damaged.
    """
    known = list(finished(workspace))
    wanted = [one for one in known if name in (None, one[0].name)]
    for folder, record in wanted:
        if record["settled"] == settled:
            return folder, record
    if wanted:
        raise StoreError(
            f"The run {wanted[0][0].name} was trained on other data or another split.",
            hint="Train again: what it learnt does not fit the split of today.",
        )
    for folder in _folders(workspace):
        if name in (None, folder.name):
            read_record(folder)
    if name is None:
        raise UsageError(
            f"No training run in {workspace}.",
            hint=f"Train one: python cli.py train --data DATA --workspace {workspace}",
        )
    names = ", ".join(folder.name for folder, _ in known) or "none yet"
    raise UsageError(f"No finished run {name!r} in {workspace}.", hint=f"There are: {names}.")
