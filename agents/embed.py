"""The last stage: every description becomes a vector, and both go to Chroma."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.ask import Desk
from agents.job import Job
from agents.limits import Gate
from agents.pace import Pace
from graph_ops.graph import kind_of
from stores.descriptions import Descriptions, row_of
from stores.rows import Call
from stores.vectors import Vectors

CHUNK = 2000
STAGE = "embedding"


class Embedding:
    """Vectors for texts, paid from the run's purse and written into its ledger like every call.

    `of` is called in a thread beside the event loop in which this was made. `on_embedded` hears of
    newly embedded pieces of text.
    """

    def __init__(
        self, desk: Desk, vectors: Vectors, pace: Pace, on_embedded: Callable[[int], None]
    ) -> None:
        self._desk, self._vectors, self._on_embedded = desk, vectors, on_embedded
        self._gate = Gate(1, pace=pace)
        self._loop = asyncio.get_running_loop()
        self.embedder = vectors.embedder

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors for `texts`, shape (texts, dim). Raises RunStopped between two batches."""
        return self._vectors.embed(texts, self._pay)

    def _pay(self, pieces: Sequence[str], embed: Callable[[], None]) -> None:
        """Let a batch be embedded, if the purse allows it, and write down what it took."""
        desk, embedder = self._desk, self.embedder
        desk.gate.check()
        most = sum(len(piece.encode("utf-8", "replace")) for piece in pieces)
        self._wait(desk.gate.purse.reserve(embedder.price(most) or 0))
        if embedder.remote:
            self._wait(self._gate.depart(sum(map(embedder.count, pieces))))
        before, started, clock = embedder.used, time.time(), time.perf_counter()
        embed()
        used = embedder.used - before
        cost = embedder.price(used)
        self._wait(desk.gate.purse.settle(embedder.price(most) or 0, cost or 0))
        name = sha256("\x1f".join(pieces).encode("utf-8", "replace")).hexdigest()
        if embedder.remote:
            self._wait(
                desk.ledger.record(
                    Call(
                        key=name,
                        run=desk.run,
                        stage=STAGE,
                        node="",
                        hop=-1,
                        turn=0,
                        attempt=1,
                        prompt="",
                        model=embedder.name,
                        endpoint="",
                        parameters="{}",
                        messages=(),
                        reply=None,
                        status="accepted",
                        reason="",
                        finish="stop",
                        input_tokens=used,
                        output_tokens=0,
                        cost_nanousd=cost,
                        started=started,
                        latency_ms=(time.perf_counter() - clock) * 1e3,
                    )
                )
            )
        tally = desk.tally
        tally.embedding_tokens += used
        tally.cost_nanousd += cost or 0
        tally.unpriced += cost is None
        self._on_embedded(len(pieces))

    def _wait(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def embed(job: Job, descriptions: Descriptions, embedding: Embedding) -> int:
    """Embed and store what is new or changed at every hop. Returns how many rows that was.

    Hops above the last one of this run are removed before the first row changes: they were refined
    from texts that are gone. Not with a limit: the other nodes' hops have nothing to do with it.
    """
    embedder = embedding.embedder.name
    changed = 0
    for hop, layer in enumerate(job.layers):
        for kind in ("item", "user"):
            rows = [row_of(layer[n], job.desk.run) for n in sorted(layer) if kind_of(n) == kind]
            known = descriptions.fingerprints(kind, hop)
            fresh = [row for row in rows if known.get(row.node) != row.fingerprint(embedder)]
            if fresh and not changed and not job.limited:
                descriptions.drop_above(job.hops)
            for start in range(0, len(fresh), CHUNK):
                some = fresh[start : start + CHUNK]
                made = embedding.of([row.text for row in some])
                descriptions.write(kind, hop, some, made, embedder)
            changed += len(fresh)
    return changed
