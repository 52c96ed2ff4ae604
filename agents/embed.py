"""The last stage: every description becomes a vector, and both go to Chroma."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from agents.ask import Desk
from agents.job import Job
from agents.models.base import Busy
from agents.pace import Pace
from agents.retry import ATTEMPTS, retrying, too_long
from errors import ModelError
from graph_ops.graph import kind_of
from stores.descriptions import Descriptions, row_of
from stores.embedders import EmbedderBusy
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
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self.embedder = vectors.embedder

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors for `texts`, shape (texts, dim). Raises RunStopped between two batches."""
        return self._vectors.embed(texts, partial(self._pay, ATTEMPTS))

    def probe(self) -> None:
        """Embed one word, once a workspace. Raises ModelError at once where that does not work."""
        self._vectors.embed(["ready"], partial(self._pay, 1))

    def _pay(self, tries: int, pieces: Sequence[str], embed: Callable[[], None]) -> None:
        """Let a batch be embedded, if the purse allows it, and write down what it took."""
        if not self.embedder.remote:
            # In this thread: a torch that is called from several makes workers for each of them.
            self._desk.gate.check()
            embed()
            self._on_embedded(len(pieces))
            return
        paid = asyncio.run_coroutine_threadsafe(self._retried(tries, pieces, embed), self._loop)
        paid.result()
        self._on_embedded(len(pieces))

    async def _retried(self, tries: int, pieces: Sequence[str], embed: Callable[[], None]) -> None:
        try:
            async for attempt in retrying(self._desk.gate, tries):
                with attempt:
                    await self._attempt(pieces, embed, attempt.retry_state.attempt_number)
        except Busy as error:
            raise ModelError(
                error.message,
                hint="Check the address, the key and the model name. What was embedded is kept: "
                "run the same command again.",
            ) from error

    async def _attempt(self, pieces: Sequence[str], embed: Callable[[], None], number: int) -> None:
        desk, embedder = self._desk, self.embedder
        desk.gate.check()
        most = embedder.price(sum(len(p.encode("utf-8", "replace")) for p in pieces)) or 0
        await desk.gate.purse.reserve(most)
        before, cost = embedder.used, 0
        started, clock = time.time(), time.perf_counter()
        status, reason = "failed", ""
        try:
            await desk.gate.depart(sum(map(embedder.count, pieces)), self._pace)
            started, clock = time.time(), time.perf_counter()
            await asyncio.to_thread(embed)
            status = "accepted"
        except EmbedderBusy as error:
            reason = error.message
            busy = Busy(error.message, error.wait)
            raise too_long(busy) or busy from error
        finally:
            used = embedder.used - before
            price = embedder.price(used)
            cost = price or 0
            await desk.gate.purse.settle(most, cost)
            desk.tally.embedding_tokens += used
            desk.tally.cost_nanousd += cost
            desk.tally.unpriced += price is None and status == "accepted"
            await desk.ledger.record(
                Call(
                    key=sha256("\x1f".join(pieces).encode("utf-8", "replace")).hexdigest(),
                    run=desk.run,
                    stage=STAGE,
                    node="",
                    hop=-1,
                    turn=0,
                    attempt=number,
                    prompt="",
                    model=embedder.name,
                    endpoint="",
                    parameters="{}",
                    messages=(),
                    reply=None,
                    status="accepted" if status == "accepted" else "failed",
                    reason=reason,
                    finish="stop" if status == "accepted" else "",
                    input_tokens=used,
                    output_tokens=0,
                    cost_nanousd=price,
                    started=started,
                    latency_ms=(time.perf_counter() - clock) * 1e3,
                )
            )


def embed(job: Job, descriptions: Descriptions, embedding: Embedding) -> int:
    """Embed and store what is new or changed at every hop. Returns how many rows that was.

    Hops above the last one of this run are removed before the first row changes: they were refined
    from texts that are gone. Not with a limit: the other nodes' hops have nothing to do with it.
    Rows of nodes that the data no longer has go in any case.
    """
    embedder = embedding.embedder.name
    changed = 0
    for kind, hop in descriptions.layers():
        if hop > job.hops:
            gone = [node for node in descriptions.nodes(kind, hop) if node not in job.graph]
            descriptions.remove(kind, hop, gone)
    for hop, needed in enumerate(job.needed):
        for kind in ("item", "user"):
            nodes = sorted(node for node in needed if kind_of(node) == kind)
            known = descriptions.fingerprints(kind, hop)
            descriptions.remove(kind, hop, [node for node in known if node not in job.graph])
            for start in range(0, len(nodes), CHUNK):
                outcomes = job.outcomes(hop, nodes[start : start + CHUNK])
                rows = [row_of(outcome, job.desk.run) for outcome in outcomes.values()]
                fresh = [row for row in rows if known.get(row.node) != row.fingerprint(embedder)]
                if not fresh:
                    continue
                if not changed and not job.limited:
                    descriptions.drop_above(job.hops)
                made = embedding.of([row.text for row in fresh])
                descriptions.write(kind, hop, fresh, made, embedder)
                changed += len(fresh)
    return changed
