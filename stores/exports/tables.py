"""Export as parquet: every description with its embedding, and a run's node embeddings.

    descriptions.parquet   a row for each node and hop, sorted by hop, kind and node
    trained.parquet        a row for each node, where there is a training run

`train --embeddings` reads either, descriptions of one hop at a time.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from errors import UsageError
from stores.descriptions import BATCH, Descriptions, Row
from stores.exports.material import Material, Trained

DESCRIPTIONS, TRAINED = "descriptions.parquet", "trained.parquet"
_NODE = [
    pa.field("node", pa.string(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("id", pa.string(), nullable=False),
]
_VECTOR = pa.field("vector", pa.list_(pa.float32()))
_DESCRIBED = pa.schema(
    [
        *_NODE,
        pa.field("hop", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("status", pa.string()),
        pa.field("fallback", pa.bool_()),
        pa.field("model", pa.string()),
        pa.field("prompt", pa.string()),
        pa.field("run", pa.string()),
        pa.field("embedder", pa.string()),
        _VECTOR,
    ]
)
_EMBEDDED = pa.schema([*_NODE, pa.field("run", pa.string()), _VECTOR])


def names(dataset: str) -> tuple[str, ...]:
    """The files that this export may write."""
    return DESCRIPTIONS, TRAINED


def write(folder: Path, dataset: str, material: Material) -> dict[str, Any]:
    """Write what there is of both. Returns counts. Raises UsageError where there is neither."""
    counts: dict[str, Any] = {}
    if material.stored is not None:
        counts |= _write_descriptions(folder / DESCRIPTIONS, material.stored, material.hops)
    if material.trained is not None:
        counts |= _write_trained(folder / TRAINED, material.trained)
    if not counts:
        raise UsageError(
            f"The workspace {material.workspace} has neither descriptions nor a training run.",
            hint="Write some first: python cli.py refine, or python cli.py train.",
        )
    return counts


def _write_descriptions(path: Path, stored: Descriptions, hops: list[int]) -> dict[str, Any]:
    rows, widths = 0, set()
    with pq.ParquetWriter(path, _DESCRIBED) as writer:
        for hop, kind in sorted((hop, kind) for kind, hop in stored.layers() if hop in hops):
            nodes, embedder = stored.nodes(kind, hop), stored.embedder(kind, hop)
            for start in range(0, len(nodes), BATCH):
                described, vectors = stored.some(kind, hop, nodes[start : start + BATCH])
                writer.write_table(_table(kind, hop, described, vectors, embedder))
                rows += len(described)
                widths.add(vectors.shape[1])
    return {"hops": hops, "descriptions": rows, "dim": max(widths, default=0)}


def _table(
    kind: str, hop: int, described: list[Row], vectors: NDArray[np.float32], embedder: str
) -> Any:
    nodes, about = [row.node for row in described], [row.metadata for row in described]
    columns = {
        "node": nodes,
        "kind": [kind] * len(nodes),
        "id": [node.partition(":")[2] for node in nodes],
        "hop": [hop] * len(nodes),
        "text": [row.text for row in described],
        **{
            name: [one.get(name) for one in about]
            for name in ("status", "fallback", "model", "prompt", "run")
        },
        "embedder": [embedder] * len(nodes),
        "vector": _lists(vectors),
    }
    return pa.table(columns, schema=_DESCRIBED)


def _write_trained(path: Path, trained: Trained) -> dict[str, Any]:
    found = trained.embeddings
    nodes = list(_named(found.users, found.items))
    columns = {
        "node": [f"{kind}:{id}" for kind, id in nodes],
        "kind": [kind for kind, _ in nodes],
        "id": [id for _, id in nodes],
        "run": [trained.name] * len(nodes),
        "vector": _lists(found.nodes_ND.astype(np.float32)),
    }
    pq.write_table(pa.table(columns, schema=_EMBEDDED), path)
    return {"run": trained.name, "trained": len(nodes), "trained_dim": found.nodes_ND.shape[1]}


def _named(users: list[str], items: list[str]) -> Iterator[tuple[str, str]]:
    yield from (("user", id) for id in users)
    yield from (("item", id) for id in items)


def _lists(vectors: NDArray[np.float32]) -> Any:
    """Rows of one width as a column of lists."""
    starts = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
    return pa.ListArray.from_arrays(starts, pa.array(vectors.reshape(-1)))
