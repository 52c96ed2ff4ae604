"""What the page is made from: a workspace's ledger, its data, its vectors, its trained runs.

    Sources
    ├── reading()    the ledger, read-only, a connection a request
    ├── place()      data and graph, loaded when a run has settled the split, and then kept
    ├── meaning      exact search over the descriptions' vectors
    └── trained()    what a trained run answers, by its name (None: the newest); from outside

Nothing is written, Chroma is not opened, the workspace is not held: a run may go on beside it.
"""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import Protocol

import networkx as nx

from graph_ops.graph import build, id_of, kind_of
from stores.datasets import Dataset
from stores.trails.reading import reading
from viewer.meaning import Meaning


@dataclass(frozen=True)
class Reason:
    """Why an item ranks where it does: the user's own items with their cosine to it, best first,
    and paths user → own item → other user → item with their strength, all as node names.
    """

    score: float
    rank: int
    taken: bool
    nearest: list[tuple[str, float]]
    paths: list[tuple[tuple[str, str, str, str], float]]


class Trained(Protocol):
    """What a trained run answers. Each raises UsageError for a node it does not know."""

    @property
    def name(self) -> str: ...

    def nearest(self, node: str, count: int) -> list[tuple[str, float]]:
        """The nodes of the same kind with the highest cosine."""
        ...

    def recommended(self, user: str, count: int) -> list[tuple[str, float, str | None]]:
        """Items with their score and the user's own item that is most like each."""
        ...

    def reason(self, user: str, item: str, count: int) -> Reason: ...


@dataclass(frozen=True)
class Place:
    """The data of the workspace, and the graph of its training interactions."""

    data: Dataset
    graph: nx.Graph
    # What a search looks through: a node's id and title, in lower case.
    haystack: tuple[tuple[str, str], ...]
    # Where to begin: the users and the items with the most neighbours.
    busiest: tuple[str, ...]

    def title(self, node: str) -> str:
        """An item's title; "" for users and for items without one."""
        one = self.data.items.get(id_of(node)) if kind_of(node) == "item" else None
        return (one.title if one else None) or ""


@dataclass
class Sources:
    """Everything the page reads. `load` gives None while no run has settled the split.

    `asks` names the embedder where a question would be sent to a server; "" where it is in this
    process.
    """

    workspace: Path
    load: Callable[[], Dataset | None]
    meaning: Meaning
    trained: Callable[[str | None, Dataset], Trained]
    asks: str = ""
    _place: Place | None = None

    def __post_init__(self) -> None:
        self._loading = threading.Lock()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """The ledger. Raises UsageError where there is none yet."""
        return reading(self.workspace)

    def place(self) -> Place | None:
        """The data, None as long as no run has settled its split."""
        with self._loading:
            if self._place is None and (data := self.load()) is not None:
                graph = build(data.users, data.items, data.training)
                titles = {f"item:{id}": one.title or "" for id, one in data.items.items()}
                hay = tuple((n, f"{id_of(n)} {titles.get(n, '')}".casefold()) for n in graph)
                self._place = Place(data, graph, hay, _busiest(graph))
            return self._place


def _busiest(graph: nx.Graph, most: int = 4) -> tuple[str, ...]:
    kinds = [[n for n in graph if kind_of(n) == kind] for kind in ("user", "item")]
    return tuple(
        node for of in kinds for node in nsmallest(most, of, key=lambda n: (-graph.degree(n), n))
    )
