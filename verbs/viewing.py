"""What the page is given by the rest of the house: data, embedder, and what trained runs answer."""

import shutil
import tempfile
import threading
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from errors import UsageError
from graph_ops.graph import id_of, kind_of
from settings import REMOTE, Settings, connection, load
from stores import runs
from stores.datasets import Dataset, load_training
from stores.embedders import Embedder, open_embedder
from stores.workspace import must_own
from training import serving
from training.serving import Floats, Ints, Trained
from verbs.places import must_be_folder, workspace_of
from viewer.meaning import Meaning
from viewer.sources import Reason, Sources


def sources(data: Path, workspace: Path | None, embedder: str | None) -> Sources:
    """Everything the page reads. Raises UsageError without a data folder.

    Whether the workspace belongs to other data is told when the data is loaded (StoreError).
    """
    settings = load({"embedder": embedder}, Path.cwd())
    must_be_folder(data)
    folder = workspace_of(data, workspace)
    return Sources(
        folder,
        partial(_loaded, data, folder, settings.seed),
        Meaning(folder, partial(embedder_of, settings)),
        Shelf(folder).run,
        settings.embedder if settings.reach(settings.embedder).provider in REMOTE else "",
    )


def _loaded(data: Path, workspace: Path, seed: int) -> Dataset | None:
    """The data as the workspace's runs split it; None as long as none has.

    The recorded split is read from a copy, and nothing is claimed: looking must not write.
    """
    record = workspace / "split"
    if not (record / "split.json").is_file() or not (workspace / "workspace.json").is_file():
        return None
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "split"
        shutil.copytree(record, copy)
        return load_training(data, copy, seed, partial(must_own, workspace))


def embedder_of(settings: Settings, name: str) -> Embedder:
    """The embedder in the settings, if it is the one that embedded the descriptions.

    One that only the workspace names is not opened: a question would go to a server, with a key,
    that the user did not choose.
    """
    found = open_embedder(connection(settings.reach(settings.embedder)))
    if found.name != name:
        raise UsageError(
            f"The descriptions were embedded by {name}, and the page was opened with {found.name}.",
            hint="Open it with --embedder to search by meaning.",
        )
    return found


class Shelf:
    """The trained runs of a workspace, each read once."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._reading = threading.Lock()
        self._read: dict[tuple[str, str], Answers] = {}

    def run(self, name: str | None, data: Dataset) -> "Answers":
        """The run of this name, the newest for None. Raises UsageError where there is none."""
        folder, record = runs.named(self._workspace, name, data.settled)
        key = (folder.name, str(record["finished"]))
        with self._reading:
            if key not in self._read:
                users, items = list(data.users), list(data.items)
                nodes_ND = runs.read_embeddings(folder, users, items).nodes_ND
                self._read[key] = Answers(folder.name, users, items, _pairs(data), nodes_ND)
            return self._read[key]


def _pairs(data: Dataset) -> Ints:
    users = {id: row for row, id in enumerate(data.users)}
    items = {id: row for row, id in enumerate(data.items)}
    pairs = [(users[one.user], items[one.item]) for one in data.training]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class Answers:
    """What one trained run answers: `viewer.sources.Trained`."""

    name: str
    users: list[str]
    items: list[str]
    pairs_P2: Ints
    nodes_ND: Floats

    def nearest(self, node: str, count: int) -> list[tuple[str, float]]:
        """The nodes of the same kind with the highest cosine."""
        kind, names = kind_of(node), self.users if kind_of(node) == "user" else self.items
        rows = self.nodes_ND[: len(self.users)] if kind == "user" else self._items_ID
        near = serving.nearest(rows, self._row(node), count)
        return [(f"{kind}:{names[row]}", cosine) for row, cosine in near]

    def recommended(self, user: str, count: int) -> list[tuple[str, float, str | None]]:
        """Items with their score and the user's own item that is most like each."""
        row, trained = self._row(user), Trained(len(self.users), self.nodes_ND, self.pairs_P2)
        mine = trained.taken(row)
        if not len(mine) and not np.any(self.nodes_ND[row]):
            raise UsageError(
                f"{user} has no training interaction, and the run {self.name} reads no text.",
                hint="Train with --align contrastive, generative or fusion.",
            )
        best = serving.recommended(trained, row, count)
        likeness = self._unit_items_ID[[item for item, _ in best]] @ self._unit_items_ID[mine].T
        like = [f"item:{self.items[mine[i]]}" for i in likeness.argmax(1)] if len(mine) else []
        return [
            (f"item:{self.items[item]}", score, like[place] if like else None)
            for place, (item, score) in enumerate(best)
        ]

    def reason(self, user: str, item: str, count: int) -> Reason:
        """Likeness to the user's own items, and paths through others who took the item."""
        rows = self._row(user), self._row(item)
        # Paths lead through those who took the item: nobody else's interactions are looked at.
        users_P, items_P = self.pairs_P2.T
        takers = np.append(users_P[items_P == rows[1]], rows[0])
        some = self.pairs_P2[np.isin(users_P, takers)]
        why = serving.reasons(Trained(len(self.users), self.nodes_ND, some), *rows, count)
        own = [(f"item:{self.items[row]}", cosine) for row, cosine in why.nearest]
        paths = [
            (
                (
                    user,
                    f"item:{self.items[path.liked]}",
                    f"user:{self.users[path.other]}",
                    item,
                ),
                path.strength,
            )
            for path in why.paths
        ]
        return Reason(why.score, why.rank, why.taken, own, paths)

    @cached_property
    def _rows(self) -> dict[str, int]:
        users = {f"user:{id}": row for row, id in enumerate(self.users)}
        return {**users, **{f"item:{id}": row for row, id in enumerate(self.items)}}

    @property
    def _items_ID(self) -> Floats:
        return self.nodes_ND[len(self.users) :]

    @cached_property
    def _unit_items_ID(self) -> Floats:
        lengths = np.linalg.norm(self._items_ID, axis=1, keepdims=True)
        return np.asarray(self._items_ID / np.maximum(lengths, 1e-12), dtype=np.float32)

    def _row(self, node: str) -> int:
        if node not in self._rows:
            raise UsageError(f"The run {self.name} has no {kind_of(node)} {id_of(node)!r}.")
        return self._rows[node]
