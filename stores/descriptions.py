"""Descriptions in Chroma: one text, one embedding and its metadata for every node and hop.

A collection holds one kind of node at one hop (`item-hop-0`), so that a search for similar items
needs no filter. Rows are named by their node. This file hides what Chroma does quietly: `get` does
not keep the order of ids, cosine space is not bit-exact, `add` ignores an id it has, large batches
are refused, and writing over a row is five times slower than deleting and adding it.

Everything here can be made again from the ledger without a call. It is kept in a folder that one
process owns, or on a server (stores.chroma). Reading and writing go in batches; only `texts`,
`rows` and `vectors` give a whole layer at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.chroma import Server, Told, mark_of, open_folder, open_server
from stores.rows import Outcome

BATCH = 2000
# As a model says that it knows nothing; Chroma takes no empty text.
NOTHING = "None"


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
        text=outcome.text or NOTHING,
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


def kept(folder: Path, server: Server | None) -> bool:
    """Whether there may be descriptions: opening a folder that is not there would make one."""
    return server is not None or folder.exists()


class Descriptions:
    """The descriptions of a workspace, in its Chroma folder or on a server."""

    def __init__(self, folder: Path, server: Server | None = None) -> None:
        self._folder, self._server = folder, server
        self._mark = "" if server is None else mark_of(folder.parent)
        with self._told("opened"):
            self._client = open_folder(folder) if server is None else open_server(server)
            self._names = set(self._listed())
            for name in self._names:
                # Loads the index of the vectors: a file of it that is gone or cut shows here.
                self._named(name).get(limit=1, include=["embeddings"])

    def _told(self, what: str) -> Told:
        return Told(self._folder, self._server, what)

    def _listed(self) -> Iterator[str]:
        """The names of our collections without the workspace's mark: `item-hop-0`."""
        offset = 0
        while page := self._client.list_collections(limit=BATCH, offset=offset):
            ours = (one.name for one in page if one.name.startswith(self._mark))
            yield from (name.removeprefix(self._mark) for name in ours)
            offset += len(page)

    def _named(self, name: str) -> Any:
        return self._client.get_collection(self._mark + name, embedding_function=None)

    def close(self) -> None:
        """Let go of it: Chroma keeps a folder that it once opened for the life of the process."""
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
                self._drop(f"{kind}-hop-{hop}")
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
        found = [row for some in self.batches(kind, hop) for row in some]
        return sorted(found, key=lambda row: row.node)

    def batches(self, kind: str, hop: int) -> Iterator[list[Row]]:
        """The rows of a kind at a hop, some at a time, in no order."""
        for page in self._pages(kind, hop, ["documents", "metadatas"]):
            yield _rows(page)

    def nodes(self, kind: str, hop: int) -> list[str]:
        """The nodes of a kind that have a row at a hop, sorted."""
        return sorted(node for page in self._pages(kind, hop, []) for node in page["ids"])

    def some(
        self, kind: str, hop: int, nodes: Sequence[str]
    ) -> tuple[list[Row], NDArray[np.float32]]:
        """The rows of these nodes (BATCH at most) that there are, in this order, and their
        embeddings, shape (rows, dim).
        """
        if f"{kind}-hop-{hop}" not in self._names:
            return [], np.empty((0, 0), dtype=np.float32)
        with self._told("read"):
            page = self._collection(kind, hop).get(
                ids=list(nodes), include=["documents", "metadatas", "embeddings"]
            )
        place = {node: row for row, node in enumerate(page["ids"])}
        order = [place[node] for node in nodes if node in place]
        rows = _rows(page)
        return [rows[at] for at in order], self._units(kind, hop, page)[order]

    def vectors(self, kind: str, hop: int) -> tuple[list[str], NDArray[np.float32]]:
        """Nodes, sorted, and their embeddings, shape (nodes, dim).

        Zero for a node of which nothing could be said: what an embedder makes of no text says
        nothing about it.
        """
        nodes = self.nodes(kind, hop)
        place = {node: row for row, node in enumerate(nodes)}
        vectors = np.empty((0, 0), dtype=np.float32)
        for page in self._pages(kind, hop, ["documents", "embeddings"]):
            some = self._units(kind, hop, page)
            some[[text == NOTHING for text in page["documents"]]] = 0
            if not len(vectors):
                vectors = np.zeros((len(nodes), some.shape[1]), dtype=np.float32)
            vectors[[place[node] for node in page["ids"]]] = some
        return nodes, vectors

    def _units(self, kind: str, hop: int, page: Any) -> NDArray[np.float32]:
        found = np.asarray(page["embeddings"], dtype=np.float32)
        with self._told("read"):
            # Every vector was written with length 1; Chroma keeps no checksum of its own.
            if len(found) and not np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3):
                raise ValueError(f"embeddings of {kind}-hop-{hop} are damaged")
        return found

    def drop_above(self, hop: int) -> list[int]:
        """Remove the hops above `hop`: they no longer follow from what is below. Says which."""
        gone = set()
        with self._told("written"):
            for name in sorted(self._names):
                its_hop = int(name.rpartition("-")[2])
                if its_hop > hop:
                    self._drop(name)
                    gone.add(its_hop)
        return sorted(gone)

    def embedders(self) -> set[str]:
        """Who made the vectors that are stored."""
        with self._told("read"):
            found = map(self._named, self._names)
            return {str(one.metadata["embedder"]) for one in found if one.count()}

    def embedder(self, kind: str, hop: int) -> str:
        """Who made the vectors of a kind at a hop."""
        with self._told("read"):
            return str(self._collection(kind, hop).metadata["embedder"])

    def _collection(self, kind: str, hop: int, embedder: str = "") -> Any:
        name = f"{kind}-hop-{hop}"
        if name in self._names:
            return self._named(name)
        # The vectors have length 1, so the inner product ranks as cosine does, and is exact.
        created = self._client.create_collection(
            self._mark + name,
            embedding_function=None,
            metadata={"embedder": embedder},
            configuration={"hnsw": {"space": "ip"}},
        )
        self._names.add(name)
        return created

    def _drop(self, name: str) -> None:
        self._client.delete_collection(self._mark + name)
        self._names.discard(name)

    def _pages(self, kind: str, hop: int, include: list[str]) -> Iterator[Any]:
        if f"{kind}-hop-{hop}" not in self._names:
            return
        with self._told("read"):
            collection = self._collection(kind, hop)
            for offset in range(0, collection.count(), BATCH):
                yield collection.get(limit=BATCH, offset=offset, include=include)


def _rows(page: Any) -> list[Row]:
    return [
        Row(node, text, {k: v for k, v in metadata.items() if k != "fingerprint"})
        for node, text, metadata in zip(
            page["ids"], page["documents"], page["metadatas"], strict=True
        )
    ]
