"""A data folder as training sees it: ids in a fixed order, and pairs of row numbers.

Only who took what leaves here; of held-out interactions neither rating nor review.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from errors import DataError
from stores.splits import Claim, anyones, opened

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Arrays:
    """Sorted ids, and the pairs of each part, shape (P, 2): rows of `users` and of `items`.

    `digest` names the data, `settled` the data with its split.
    """

    name: str
    digest: str
    settled: str
    users: list[str]
    items: list[str]
    train: Ints
    val: Ints
    test: Ints

    @property
    def nodes(self) -> list[str]:
        """Every node's name, users first: the order of rows in every node table."""
        return [*(f"user:{id}" for id in self.users), *(f"item:{id}" for id in self.items)]


def load_arrays(
    folder: Path,
    split_home: Path,
    seed: int,
    claim: Claim = anyones,
) -> Arrays:
    """The arrays of a folder, split as `datasets.load_training` splits it.

    Raises DataError for a split with an empty part.
    """
    whole = opened(folder, split_home, seed, claim)
    source, parts = whole.source, whole.split.parts
    users, items = sorted(source.users), sorted(source.items)
    user_rows = {id: row for row, id in enumerate(users)}
    item_rows = {id: row for row, id in enumerate(items)}
    for part in ("train", "val", "test"):
        if not parts[part]:
            raise DataError(
                f"The split of {source.name} has no {part} interactions.",
                hint="Make another, of more data or by another scheme: "
                "python cli.py data split --data DIR --force --scheme leave-one-out.",
            )
    found = {
        part: np.array([(user_rows[u], item_rows[i]) for u, i in pairs], dtype=np.int64)
        for part, pairs in parts.items()
    }
    return Arrays(
        name=source.name,
        digest=whole.content,
        settled=whole.settled,
        users=users,
        items=items,
        train=found["train"],
        val=found["val"],
        test=found["test"],
    )


def in_order(found: Mapping[str, Floats], arrays: Arrays, hint: str) -> Floats:
    """One text embedding a node, shape (N, T), in the order of `arrays.nodes`.

    `found` holds embeddings by node name; those of nodes that the data does not have are left out.
    Raises DataError for a node without one, for widths that differ and for NaN or infinity.
    """
    missing = [node for node in arrays.nodes if node not in found]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(arrays.nodes)} nodes have no text embedding: "
            f"{_some(missing)}.",
            hint=hint,
        )
    widths = sorted({len(found[node]) for node in arrays.nodes})
    if len(widths) > 1:
        raise DataError(
            f"Text embeddings have different widths: {_some(widths)}.",
            hint="Embed users and items with one embedder.",
        )
    if not widths[0]:
        raise DataError("Text embeddings have no numbers in them: their width is 0.", hint=hint)
    text = np.empty((len(arrays.nodes), widths[0]), dtype=np.float32)
    for row, node in enumerate(arrays.nodes):
        text[row] = found[node]
    bad = [arrays.nodes[row] for row in np.flatnonzero(~np.isfinite(text).all(axis=1))]
    if bad:
        raise DataError(
            f"{len(bad)} text embeddings hold NaN or infinity: {_some(bad)}.",
            hint="Embed these texts anew; nothing was trained.",
        )
    return text


def _some(names: Sequence[object]) -> str:
    shown = ", ".join(map(str, names[:3]))
    return shown + (", …" if len(names) > 3 else "")
