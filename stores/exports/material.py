"""What an export is made of: the data with its split, descriptions of some hops, a trained run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import DataError
from stores.descriptions import Descriptions
from stores.descriptions import Row as Described
from stores.formats.rlmrec import by_row_number
from stores.formats.rows import Entity, Pair, Row
from stores.runs import Embeddings
from stores.splits import Claim, anyones, opened

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Data:
    """Users and items by id, in the order of their row numbers; every interaction; its part.

    `settled` names the data with its split.
    """

    users: dict[str, Entity]
    items: dict[str, Entity]
    rows: list[Row]
    parts: dict[str, list[Pair]]
    settled: str


@dataclass(frozen=True)
class Trained:
    """A training run's node embeddings, and its name."""

    name: str
    embeddings: Embeddings


@dataclass(frozen=True)
class Material:
    """What a format may write. Without descriptions `hops` is empty and `stored` is None."""

    data: Data
    workspace: Path
    stored: Descriptions | None
    hops: list[int]
    trained: Trained | None


@dataclass(frozen=True)
class Layer:
    """The descriptions of one kind at one hop, and their embeddings, shape (nodes, T)."""

    hop: int
    rows: list[Described]
    vectors: Vectors


def load(
    folder: Path,
    split_home: Path,
    seed: int,
    claim: Claim = anyones,
) -> Data:
    """The data of a folder, split as `datasets.load_training` splits it.

    Row numbers are those of its columns `uid` and `iid`, or the order of its files.
    """
    whole = opened(folder, split_home, seed, claim)
    source, parts = whole.source, whole.split.parts
    users = {id: source.users[id] for id in by_row_number(source.users, "user")}
    items = {id: source.items[id] for id in by_row_number(source.items, "item")}
    return Data(users, items, source.rows, parts, whole.settled)


def counts(data: Data, described: Mapping[str, Layer]) -> dict[str, Any]:
    """How much data and how many descriptions these are."""
    return {
        "hops": [described["user"].hop],
        "users": len(data.users),
        "items": len(data.items),
        "interactions": len(data.rows),
        **{part: len(pairs) for part, pairs in data.parts.items()},
        "dim": described["user"].vectors.shape[1],
    }


def layers(material: Material) -> Mapping[str, Layer]:
    """The descriptions of every user and item at the last of the hops, in row order, by kind.

    Raises DataError where one of them has none.
    """
    data, hop = material.data, material.hops[-1]
    return {
        kind: _layer(material.stored, kind, hop, ids)
        for kind, ids in (("user", data.users), ("item", data.items))
    }


def _layer(stored: Descriptions | None, kind: str, hop: int, ids: Iterable[str]) -> Layer:
    rows: list[Described] = []
    nodes: list[str] = []
    vectors: Vectors = np.empty((0, 0), dtype=np.float32)
    if stored is not None:
        rows = stored.rows(kind, hop)
        nodes, vectors = stored.vectors(kind, hop)
    place = {node: row for row, node in enumerate(nodes)}
    wanted = [f"{kind}:{id}" for id in ids]
    missing = [node for node in wanted if node not in place]
    if missing:
        shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise DataError(
            f"{len(missing)} of {len(wanted)} {kind}s have no description at hop {hop}: {shown}.",
            hint=f"Write them: python cli.py refine --hops {hop}, with the same --data and "
            "--workspace and without --limit.",
        )
    order = [place[node] for node in wanted]
    return Layer(hop, [rows[row] for row in order], vectors[order])
