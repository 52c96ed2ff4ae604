"""A workspace as large as it gets: a ledger with a million calls about 50,000 nodes, made up.

    python -m benchmarks.big_ledger FOLDER [--rows 1000000] [--nodes 50000]

Runs of two hops over all nodes, one after the other, until there are enough calls; prompts change
now and then, one reply in twenty is rejected and repaired, one call in fifty fails, one node in a
hundred falls back. Texts are short, and each is its own. Rows are written by the functions that a
run uses, so triggers and indexes are what they are in real life.
"""

import argparse
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from stores import graph_file
from stores.datasets import Dataset, Interaction, Item, User
from stores.ledger_file import prepare
from stores.rows import Call, Outcome, insert_calls, insert_outcomes

HOPS = 2
CHUNK = 2000
WORDS = (
    "quiet careful patient bright sturdy playful honest warm detailed unusual classic modern slow"
    " generous practical elegant rough gentle vivid thoughtful curious steady bold simple rich"
).split()
MODELS = ("openai:gpt-4o-mini", "openai:qwen3", "llamacpp:small.gguf")


def world(nodes: int, draw: random.Random) -> Dataset:
    """As many users as items; each user has chosen ten of them."""
    count = nodes // 2
    users = {f"u{n:06}": User(f"u{n:06}") for n in range(count)}
    items = {
        f"i{n:06}": Item(f"i{n:06}", f"Thing {n}", f"It is {said(draw)}.") for n in range(count)
    }
    rows = [
        Interaction(user, f"i{n:06}", float(draw.randint(1, 5)), 1.6e9, f"It was {said(draw)}.")
        for user in users
        for n in sorted(draw.sample(range(count), min(10, count)))
    ]
    return Dataset(
        "big", "big", "big", "product", "English", users, items, tuple(rows), {}, "ratio"
    )


def said(draw: random.Random) -> str:
    return " and ".join(draw.choice(WORDS) for _ in range(12))


def fill(workspace: Path, rows: int, nodes: int, seed: int = 1) -> None:
    """Make the ledger and the graph of a workspace."""
    draw = random.Random(seed)
    workspace.mkdir(parents=True, exist_ok=True)
    data = world(nodes, draw)
    graph_file.write(workspace, data)
    path = workspace / "ledger.sqlite"
    prepare(path)
    names = [f"user:{id}" for id in data.users] + [f"item:{id}" for id in data.items]
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        made, number = 0, 0
        while made < rows:
            made += _run(db, names, number, rows - made, draw)
            number += 1
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _run(
    db: sqlite3.Connection, names: list[str], number: int, most: int, draw: random.Random
) -> int:
    run, model = f"20260101-{number:06}-000", MODELS[number % len(MODELS)]
    started, made = 1.7e9 + 1e5 * number, 0
    settings = (
        '{"hops": 2, "seed": 0, "neighbours": 6, "sampling": "uniform", "mode": "append",'
        ' "domain": "product", "language": "English", "evidence_tokens": 1800, "repeat": 0,'
        f' "fresh": false, "limit": null, "model": "{model}", "embedder": "minilm"}}'
    )
    db.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?)",
        (run, started, settings, started + 9e4, '{"ended": "done"}'),
    )
    texts = dict.fromkeys(names, "")
    for hop in range(HOPS + 1):
        calls: list[Call] = []
        outcomes: list[Outcome] = []
        for node in names:
            if made >= most:
                break
            some, outcome = _asked(run, model, node, hop, started + made / 10, texts[node], draw)
            if hop == 0 and number % 3 == 2:
                # Runs that go on with what is known ask nothing at hop 0.
                some = []
            made += len(some)
            texts[node] = outcome.text
            calls += some
            outcomes.append(outcome)
            if len(outcomes) == CHUNK:
                _write(db, run, calls, outcomes)
                calls, outcomes = [], []
        _write(db, run, calls, outcomes)
    return made


def _write(db: sqlite3.Connection, run: str, calls: list[Call], outcomes: list[Outcome]) -> None:
    db.execute("BEGIN")
    insert_calls(db, calls)
    insert_outcomes(db, run, outcomes)
    db.execute("COMMIT")


def _asked(
    run: str, model: str, node: str, hop: int, when: float, before: str, draw: random.Random
) -> tuple[list[Call], Outcome]:
    kind = node.partition(":")[0]
    name = f"refine_{kind}" if hop else f"{kind}_profile"
    prompt = f"{name}@{1 + hash_of(run) % 3}:{hash_of(name + run[:14]):012x}"
    reply = f'{{"description": "Something {said(draw)}.", "reasoning": "{node} {hop} {run}"}}'
    first = Call(
        key=f"{run} {node} {hop}",
        run=run,
        stage=f"hop {hop}" if hop else f"{kind} profiles",
        node=node,
        hop=hop,
        turn=0,
        attempt=1,
        prompt=prompt,
        model=model,
        endpoint="https://api.openai.com/v1" if model.startswith("openai") else "in process",
        parameters='{"max_tokens": 400, "repeat": 0}',
        messages=(("system", f"Describe it. {prompt}"), ("user", f"{node} {hop} {said(draw)}")),
        reply=reply,
        status="accepted",
        reason="",
        finish="stop",
        input_tokens=draw.randint(400, 2000),
        output_tokens=draw.randint(40, 200),
        cost_nanousd=draw.randint(100_000, 900_000),
        started=when,
        latency_ms=draw.lognormvariate(6.5, 0.6),
    )
    calls: list[Call] = []
    luck = draw.random()
    if luck < 0.02:
        calls.append(replace(first, status="failed", reply=None, reason="HTTP 503", finish=""))
    if 0.02 <= luck < 0.07:
        why = f"it has {draw.randint(120, 300)} words; the limit is 90."
        calls.append(replace(first, status="rejected", reason=why))
        again = (*first.messages, ("assistant", reply), ("user", f"Too long. {draw.random()}"))
        first = replace(first, key=f"{first.key} again", turn=1, messages=again)
    text = f"{before}\n\n{said(draw)}".strip()
    outcome = Outcome(node, hop, "written", len(calls) + 1, "", prompt, model, text, first.key)
    if luck > 0.99:
        first = replace(first, status="rejected", reason="it declines to answer.")
        outcome = replace(outcome, status="fallback", model="extractive", reason=first.reason)
    return [*calls, first], outcome


def hash_of(text: str) -> int:
    return random.Random(text).getrandbits(40)


def node_names(nodes: int) -> Iterator[str]:
    """The names that `fill` gives to so many nodes."""
    for n in range(nodes // 2):
        yield f"user:u{n:06}"
        yield f"item:i{n:06}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=50_000)
    given = parser.parse_args()
    began = time.perf_counter()
    fill(given.folder, given.rows, given.nodes)
    size = (given.folder / "ledger.sqlite").stat().st_size / 2**30
    print(f"{given.rows} rows, {size:.2f} GiB, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
