"""New interactions on a described graph: the share of nodes asked again, against the naive ball.

    python -m benchmarks.incremental --data DIR --workspace WS [--share 0.01] [--hops 2]

A share of the interactions, drawn by hashing, is held back; the rest is refined with `offline`;
what was held back is appended as `data import --append` does it, and all is refined again. The
naive ball is every node within so many hops of a node that got a new training interaction, whoever
is listened to. Nothing is embedded: what is counted are questions. WS must be a new folder.
"""

import argparse
import asyncio
import json
import shutil
from functools import partial
from pathlib import Path

import networkx as nx

from agents.job import Job
from agents.models.offline import Offline
from agents.pipeline import Run
from agents.setup import Options, carry_out, make_desk, make_job
from graph_ops.graph import kind_of
from graph_ops.neighbourhood import chance
from stores.changing import Doomed, append, remove
from stores.datasets import Dataset, load_training
from stores.formats.importing import Reading
from stores.formats.layout import Source, read_source
from stores.ledger import Ledger
from stores.workspace import claim

Pair = tuple[str, str]


def held_back(source: Source, share: float, seed: int) -> frozenset[Pair]:
    pairs = ((row.user, row.item) for row in source.rows)
    return frozenset(one for one in pairs if chance(seed, "held back", *one) < share)


def delta(source: Source, pairs: frozenset[Pair], path: Path) -> Path:
    """The interactions held back, as the file of a nightly export."""
    parts = {one: part for part, some in (source.parts or {}).items() for one in some}
    with path.open("w", encoding="utf-8") as file:
        for row in source.rows:
            if (row.user, row.item) in pairs:
                facts = {"user_id": row.user, "item_id": row.item, "rating": row.rating}
                facts |= {"timestamp": row.timestamp, "review": row.review, "summary": row.summary}
                if parts:
                    facts["split"] = parts[row.user, row.item]
                file.write(json.dumps(facts) + "\n")
    return path


Asked = dict[tuple[int, str], str]
"""By hop and node, the key of the question that was asked."""


async def described(data: Dataset, home: Path, options: Options, run: str) -> tuple[Job, Asked]:
    """Profiles and hops, everything but the embedding; the job, and what it asked."""
    model = Offline()
    try:
        with Ledger(home / "ledger.sqlite") as ledger:
            job = make_job(data, options, make_desk(run, model, ledger, options))
            await carry_out(Run(job, lambda: 0, lambda name, nodes: print(f"{name}: {nodes}")))
            rows = ledger.read("SELECT hop, node, key FROM answered WHERE run = ?", run)
            return job, {(hop, node): key for hop, node, key in rows}
    finally:
        await model.close()


def anew(before: Asked, after: Asked, hops: int) -> list[set[str]]:
    """Per hop, the nodes about which another question was asked than before."""
    found: list[set[str]] = [set() for _ in range(hops + 1)]
    for (hop, node), key in after.items():
        if before.get((hop, node)) != key:
            found[hop].add(node)
    return found


def naive(before: nx.Graph, after: nx.Graph, hops: int) -> list[set[str]]:
    """Per hop, what a method asks again that knows the graph and not who is listened to.

    At hop 0 a user hears its items; at hop l every node hears its neighbours.
    """
    fresh = [edge for edge in after.edges if not before.has_edge(*edge)]
    changed = {node for edge in fresh for node in edge}
    users = {n for node in changed if kind_of(node) == "item" for n in after.adj[node]}
    balls = [changed | users]
    for _ in range(hops):
        balls.append(balls[-1] | {n for node in balls[-1] for n in after.adj[node]})
    return balls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    home, options = given.workspace, Options(hops=given.hops, seed=given.seed)
    home.mkdir(parents=True)
    shutil.copytree(given.data, home / "data")
    whole = read_source(home / "data")
    back = held_back(whole, given.share, given.seed)
    remove(home / "data", Doomed(back, frozenset(), frozenset()))

    def load() -> Dataset:
        return load_training(home / "data", home / "split", given.seed, partial(claim, home))

    before, asked = asyncio.run(described(load(), home, options, "before"))
    append(delta(whole, back, home / "delta.jsonl"), home / "data", Reading())
    changed = load()
    print(f"{changed.change}, of {len(whole.rows):,}")
    after, asked_now = asyncio.run(described(changed, home, options, "after"))
    print(f"{after.desk.tally.calls:,} questions were sent the second time")
    balls = naive(before.graph, after.graph, given.hops)
    table(anew(asked, asked_now, given.hops), balls, len(after.graph))


def table(anew: list[set[str]], naive: list[set[str]], nodes: int) -> None:
    rows = [(f"hop {hop}", len(ours), len(naive[hop]), nodes) for hop, ours in enumerate(anew)]
    all_ours, all_naive = sum(row[1] for row in rows), sum(row[2] for row in rows)
    print(f"{'':<8}{'asked':>10}{'share':>8}{'naive':>10}{'share':>8}")
    for name, ours, theirs, of in [*rows, ("all", all_ours, all_naive, nodes * len(rows))]:
        print(f"{name:<8}{ours:>10,}{ours / of:>8.1%}{theirs:>10,}{theirs / of:>8.1%}")


if __name__ == "__main__":
    main()
