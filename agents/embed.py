"""The last stage: every description becomes a vector, and both go to Chroma."""

from collections.abc import Callable

from agents.job import Job
from graph_ops.graph import kind_of
from stores.descriptions import Descriptions, row_of
from stores.vectors import Vectors

CHUNK = 2000


def embed(
    job: Job, descriptions: Descriptions, vectors: Vectors, on_done: Callable[[int], None]
) -> int:
    """Embed and store what is new or changed at every hop. Returns how many rows that was.

    Hops above the last one of this run are removed before the first row changes: they were refined
    from texts that are gone. Not with a limit: the other nodes' hops have nothing to do with it.
    """
    embedder = vectors.embedder.name
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
                made = vectors.embed([row.text for row in some], on_done)
                descriptions.write(kind, hop, some, made, embedder)
            changed += len(fresh)
    return changed
