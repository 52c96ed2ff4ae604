"""Descriptions in Chroma: one text, one embedding and its metadata for every node and hop.

A collection holds one kind of node at one hop (`item-hop-0`), so that a search for similar items
needs no filter. Rows are named by their node. This file hides what Chroma does quietly: `get` does
not keep the order of ids, cosine space is not bit-exact, `add` ignores an id it has, large batches
are refused, and writing over a row is five times slower than deleting and adding it.

Everything here can be made again from the ledger without a call. One process owns the folder.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import StoreError
from stores.rows import Outcome
from stores.sqlite_file import check

BATCH = 2000


@dataclass(frozen=True, slots=True)
class Row:
    """A description as Chroma keeps it. `metadata` says kind, id, hop, model, prompt, status …"""

    node: str
    text: str
    metadata: Mapping[str, str | int | bool]

    def fingerprint(self, embedder: str) -> str:
        """Equal for equal rows; the run that wrote them does not count."""
        facts = sorted((k, v) for k, v in self.metadata.items() if k != "run")
        return sha256(repr((self.text, embedder, facts)).encode()).hexdigest()[:16]


def row_of(outcome: Outcome, run: str) -> Row:
    """An outcome as it is kept here."""
    kind, _, name = outcome.node.partition(":")
    return Row(
        node=outcome.node,
        # As a model says that it knows nothing; Chroma takes no empty text.
        text=outcome.text or "None",
        metadata={
            "kind": kind,
            "id": name,
            "hop": outcome.hop,
            "model": outcome.model,
            "prompt": outcome.prompt,
            "status": outcome.status,
            "fallback": outcome.status in ("fallback", "failed"),
            "run": run,
        },
    )


class Descriptions:
    """The Chroma folder of a workspace."""

    def __init__(self, folder: Path) -> None:
        import chromadb
        from chromadb.config import Settings

        self._folder = folder
        with self._told("opened"):
            if (folder / "chroma.sqlite3").exists():
                check(folder / "chroma.sqlite3", 0)
            self._client: Any = chromadb.PersistentClient(
                path=str(folder), settings=Settings(anonymized_telemetry=False)
            )
            self._names = {c.name for c in self._client.list_collections()}
            for name in self._names:
                # Loads the index of the vectors: a file of it that is gone or cut shows here.
                some = self._client.get_collection(name, embedding_function=None)
                some.get(limit=1, include=["embeddings"])

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        from chromadb.errors import ChromaError

        try:
            yield
        except (ChromaError, sqlite3.Error, OSError, ValueError) as error:
            raise StoreError(
                f"The Chroma folder {self._folder} cannot be {what}: {error}.",
                hint="It can be made anew from the ledger, without a call: "
                f"python cli.py stores rebuild --workspace {self._folder.parent}",
            ) from error

    def close(self) -> None:
        """Let go of the folder: Chroma keeps what it once opened for the life of the process."""
        self._client.close()

    def layers(self) -> list[tuple[str, int]]:
        """Kind and hop of everything that is stored."""
        parts = [name.split("-hop-") for name in sorted(self._names)]
        return [(kind, int(hop)) for kind, hop in parts]

    def hops(self) -> list[int]:
        """The hops at which users and items have descriptions."""
        layers = set(self.layers())
        return sorted({h for _, h in layers if {("user", h), ("item", h)} <= layers})

    def fingerprints(self, kind: str, hop: int) -> dict[str, str]:
        """The fingerprint of each stored row, by node."""
        return {
            node: str(metadata.get("fingerprint", ""))
            for page in self._pages(kind, hop, ["metadatas"])
            for node, metadata in zip(page["ids"], page["metadatas"], strict=True)
        }

    def write(
        self, kind: str, hop: int, rows: Sequence[Row], vectors: NDArray[np.float32], embedder: str
    ) -> None:
        """Store these rows in place of older ones of the same nodes."""
        with self._told("written"):
            collection = self._collection(kind, hop)
            if collection.metadata.get("embedder") != embedder:
                # Vectors of two embedders do not compare, and may differ in width.
                self._client.delete_collection(collection.name)
                self._names.discard(collection.name)
                collection = self._collection(kind, hop, embedder)
            for start in range(0, len(rows), BATCH):
                some = rows[start : start + BATCH]
                ids = [row.node for row in some]
                if collection.count():
                    collection.delete(ids=ids)
                collection.add(
                    ids=ids,
                    documents=[row.text for row in some],
                    embeddings=vectors[start : start + BATCH],
                    metadatas=[
                        {**row.metadata, "fingerprint": row.fingerprint(embedder)} for row in some
                    ],
                )

    def remove(self, kind: str, hop: int, nodes: Sequence[str]) -> None:
        """Drop the rows of these nodes."""
        with self._told("written"):
            for start in range(0, len(nodes), BATCH):
                self._collection(kind, hop).delete(ids=list(nodes[start : start + BATCH]))

    def texts(self, kind: str, hop: int) -> dict[str, str]:
        """Every description of a kind at a hop, by node."""
        return {
            node: text
            for page in self._pages(kind, hop, ["documents"])
            for node, text in zip(page["ids"], page["documents"], strict=True)
        }

    def rows(self, kind: str, hop: int) -> list[Row]:
        """Every row of a kind at a hop, sorted by node."""
        found = [
            Row(node, text, {k: v for k, v in metadata.items() if k != "fingerprint"})
            for page in self._pages(kind, hop, ["documents", "metadatas"])
            for node, text, metadata in zip(
                page["ids"], page["documents"], page["metadatas"], strict=True
            )
        ]
        return sorted(found, key=lambda row: row.node)

    def vectors(self, kind: str, hop: int) -> tuple[list[str], NDArray[np.float32]]:
        """Nodes, sorted, and their embeddings, shape (nodes, dim)."""
        by_node = {
            node: vector
            for page in self._pages(kind, hop, ["embeddings"])
            for node, vector in zip(page["ids"], page["embeddings"], strict=True)
        }
        nodes = sorted(by_node)
        if not nodes:
            return [], np.empty((0, 0), dtype=np.float32)
        vectors = np.stack([by_node[node] for node in nodes]).astype(np.float32)
        with self._told("read"):
            # Every vector was written with length 1; Chroma keeps no checksum of its own.
            if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
                raise ValueError(f"embeddings of {kind}-hop-{hop} are damaged")
        return nodes, vectors

    def drop_above(self, hop: int) -> list[int]:
        """Remove the hops above `hop`: they no longer follow from what is below. Says which."""
        gone = set()
        with self._told("written"):
            for name in sorted(self._names):
                its_hop = int(name.rpartition("-")[2])
                if its_hop > hop:
                    self._client.delete_collection(name)
                    self._names.discard(name)
                    gone.add(its_hop)
        return sorted(gone)

    def embedders(self) -> set[str]:
        """Who made the vectors that are stored."""
        with self._told("read"):
            found = (self._client.get_collection(n, embedding_function=None) for n in self._names)
            return {str(one.metadata["embedder"]) for one in found if one.count()}

    def embedder(self, kind: str, hop: int) -> str:
        """Who made the vectors of a kind at a hop."""
        with self._told("read"):
            return str(self._collection(kind, hop).metadata["embedder"])

    def _collection(self, kind: str, hop: int, embedder: str = "") -> Any:
        name = f"{kind}-hop-{hop}"
        if name in self._names:
            return self._client.get_collection(name, embedding_function=None)
        # The vectors have length 1, so the inner product ranks as cosine does, and is exact.
        created = self._client.create_collection(
            name,
            embedding_function=None,
            metadata={"embedder": embedder},
            configuration={"hnsw": {"space": "ip"}},
        )
        self._names.add(name)
        return created

    def _pages(self, kind: str, hop: int, include: list[str]) -> Iterator[Any]:
        if f"{kind}-hop-{hop}" not in self._names:
            return
        with self._told("read"):
            collection = self._collection(kind, hop)
            for offset in range(0, collection.count(), BATCH):
                yield collection.get(limit=BATCH, offset=offset, include=include)
