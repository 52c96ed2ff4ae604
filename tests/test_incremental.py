"""Refining data that keeps changing: only what changed is asked, the texts are a fresh run's."""

import asyncio
import json
import random
import shutil
from functools import partial
from pathlib import Path

import pytest

from agents.models.openai import OpenAIModel
from agents.run import Watch, refine
from agents.setup import Options
from stores.changing import Doomed, append, remove
from stores.connection import Connection
from stores.datasets import Dataset, load_training
from stores.descriptions import Descriptions
from stores.embedders import OpenAIEmbedder
from stores.formats.importing import Reading
from stores.formats.layout import read_source
from stores.workspace import claim
from tests.worlds import make

HOPS = 2
NOTHING = frozenset()


def described(data: Path, workspace: Path, url: str, **options) -> Dataset:
    """Refine, as `python cli.py refine` does it."""
    workspace.mkdir(exist_ok=True)
    loaded = load_training(data, workspace / "split", 0, partial(claim, workspace))

    async def run() -> None:
        far = Connection("openai", "far", url)
        model, embedder = OpenAIModel(far), OpenAIEmbedder(far)
        try:
            told = Options(hops=HOPS, neighbours=3, **options)
            summary = await refine(loaded, workspace, model, embedder, told, Watch())
        finally:
            await model.close()
        assert summary.stopped is None and not summary.tally.failed

    asyncio.run(run())
    return loaded


def texts(workspace: Path) -> dict[tuple[str, int], dict[str, str]]:
    stored = Descriptions(workspace / "chroma")
    try:
        return {(kind, hop): stored.texts(kind, hop) for kind, hop in stored.layers()}
    finally:
        stored.close()


def questions(far) -> list[str]:
    return [request["name"] for request in far.requests() if request["kind"] == "chat"]


def without_split(folder: Path) -> Path:
    """The same data with no split of its own: the workspace records one."""
    path = folder / "interactions.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    lines = [json.dumps({k: v for k, v in row.items() if k != "split"}) for row in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def delta(home: Path, draw: random.Random, rows: list[dict], items: list[dict]) -> Path:
    folder = home / f"delta-{draw.random()}"
    folder.mkdir()
    for name, table in (("interactions", rows), ("items", items)):
        lines = "".join(json.dumps(row) + "\n" for row in table)
        (folder / f"{name}.jsonl").write_text(lines, "utf-8")
    return folder


def change(data: Path, home: Path, draw: random.Random) -> None:
    """New interactions, one of them of a new user and a new item; edits; deletions."""
    source = read_source(data)
    known = {(row.user, row.item) for row in source.rows}
    users, items = sorted(source.users), sorted(source.items)
    new = {(draw.choice(users), draw.choice(items)) for _ in range(4)} - known
    fresh = f"n{draw.randrange(10**6)}"
    new |= {(fresh, draw.choice(items)), (draw.choice(users), fresh), (fresh, fresh)}
    edited = draw.sample(sorted(known), 2)
    rows = [
        {"user_id": user, "item_id": item, "rating": 4, "review": f"Newly said: {draw.random()}."}
        for user, item in [*sorted(new), *edited]
    ]
    things = [
        {"item_id": draw.choice(items), "title": f"Another title {draw.random()}"},
        {"item_id": fresh, "title": f"Title-{fresh}"},
    ]
    append(delta(home, draw, rows, things), data, Reading())
    gone = frozenset(draw.sample(sorted(known), 3))
    remove(data, Doomed(gone, frozenset({draw.choice(users)}), frozenset({draw.choice(items)})))


@pytest.mark.parametrize(("seed", "own_split"), [(1, False), (2, False), (3, True)])
def test_refined_again_the_texts_are_those_of_a_fresh_run(tmp_path, far_side, seed, own_split):
    draw = random.Random(seed)
    far, other = far_side(), far_side()
    data, workspace = make(tmp_path / "data", users=14, items=10), tmp_path / "ws"
    if not own_split:
        without_split(data)
    described(data, workspace, far.url)
    for turn in range(3):
        change(data, tmp_path, draw)
        before = len(questions(far))
        described(data, workspace, far.url)
        fresh = tmp_path / f"fresh-{turn}"
        fresh.mkdir()
        # The same split; of a folder that has its own this is a copy of it.
        shutil.copytree(workspace / "split", fresh / "split")
        started = len(questions(other))
        described(data, fresh, other.url)
        assert texts(workspace) == texts(fresh)
        asked = set(questions(far)[before:])
        assert 0 < len(asked) < len(set(questions(other)[started:]))
    assert len(questions(far)) == len(set(questions(far))), "no question is asked twice"
