"""Refining data that keeps changing: only what changed is asked, the texts are a fresh run's."""

import asyncio
import json
import random
import shutil
from functools import partial
from pathlib import Path

import pytest

from agents.estimate import Estimate, estimate
from agents.models.base import Model
from agents.models.offline import Offline
from agents.models.openai import OpenAIModel
from agents.run import Summary, Watch, refine
from agents.setup import Options
from stores.changing import Doomed, append, remove
from stores.connection import Connection
from stores.datasets import Dataset, load_training
from stores.descriptions import Descriptions
from stores.embedders import OpenAIEmbedder
from stores.formats.importing import Reading
from stores.formats.layout import read_source
from stores.rebuild import rebuild
from stores.workspace import claim
from tests.worlds import make

OPTIONS = Options(hops=2, neighbours=3)


def loaded(data: Path, workspace: Path) -> Dataset:
    workspace.mkdir(exist_ok=True)
    return load_training(data, workspace / "split", 0, partial(claim, workspace))


def described(data: Path, workspace: Path, url: str, model: Model | None = None) -> int:
    """Refine, as `python cli.py refine` does it; how many questions were asked."""
    known, far = loaded(data, workspace), Connection("openai", "far", url)

    async def run() -> Summary:
        asks = model or OpenAIModel(far)
        try:
            return await refine(known, workspace, asks, OpenAIEmbedder(far), OPTIONS, Watch())
        finally:
            await asks.close()

    summary = asyncio.run(run())
    assert summary.stopped is None and not summary.tally.failed
    return summary.tally.calls


def estimated(data: Path, workspace: Path, url: str, model: Model) -> Estimate:
    far = Connection("openai", "far", url)
    asked = estimate(
        loaded(data, workspace), workspace, model, OpenAIEmbedder(far), OPTIONS, lambda *_: None
    )
    return asyncio.run(asked)


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
    for turn in range(2):
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


def one_more(data: Path, home: Path) -> None:
    """A new interaction of a user and an item that there are, for training."""
    known = {(row.user, row.item) for row in read_source(data).rows}
    user, item = next((u, i) for u in ("u1", "u2") for i in ("i1", "i2") if (u, i) not in known)
    row = {"user_id": user, "item_id": item, "review": "Very sturdy, I say.", "split": "train"}
    append(delta(home, random.Random(0), [row], []), data, Reading())


def test_a_dry_run_after_a_change_says_what_is_asked_at_least_and_at_most(tmp_path, far_side):
    far, data, workspace = far_side(), make(tmp_path / "data"), tmp_path / "ws"
    first = described(data, workspace, far.url)
    model = OpenAIModel(Connection("openai", "far", far.url))
    assert estimated(data, workspace, far.url, model).calls == 0
    one_more(data, tmp_path)
    before = len(questions(far))
    found = estimated(data, workspace, far.url, model)
    assert len(questions(far)) == before
    assert 0 < found.certain < found.calls < first
    # What this server says depends on all that it is asked, so every description changes.
    assert described(data, workspace, far.url) == found.calls


def test_where_a_description_came_back_unchanged_nobody_else_is_asked(tmp_path, far_side):
    far, data, workspace = far_side(), make(tmp_path / "data"), tmp_path / "ws"
    described(data, workspace, far.url, Offline())
    # A user's question shows ratings; to the extractive writer a 3 is as good as a 5.
    rated = [
        {"user_id": row.user, "item_id": row.item, "rating": 5, "review": row.review}
        for row in read_source(data).rows
        if row.rating in (3, 4) and row.item not in ("i0", "i3", "i6", "i9", "i12", "i15", "i18")
    ]
    append(delta(tmp_path, random.Random(0), rated, []), data, Reading())
    found = estimated(data, workspace, far.url, Offline())
    assert 0 < found.certain < found.calls
    assert described(data, workspace, far.url, Offline()) == found.certain


def test_what_a_first_dry_run_counts_is_certain(tmp_path, far_side):
    far, data = far_side(), make(tmp_path / "data", users=6, items=8)
    found = estimated(data, tmp_path / "ws", far.url, Offline())
    assert found.certain == found.calls > 0


def test_rows_of_nodes_that_are_gone_leave_chroma_and_do_not_come_back(tmp_path, far_side):
    far, data, workspace = far_side(), make(tmp_path / "data", 10, 8), tmp_path / "ws"
    described(data, workspace, far.url)
    assert "user:u1" in texts(workspace)["user", 2]
    remove(data, Doomed(frozenset(), frozenset({"u1"}), frozenset({"i2"})))
    described(data, workspace, far.url)
    left = texts(workspace)
    assert not {"user:u1", "item:i2"} & {node for layer in left.values() for node in layer}
    shutil.rmtree(workspace / "chroma")
    far_embedder = OpenAIEmbedder(Connection("openai", "far", far.url))
    assert rebuild(workspace, lambda _: far_embedder).embedded == 0
    assert texts(workspace) == left
