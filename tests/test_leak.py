"""Held-out interactions are seen by nobody: no prompt, no neighbour list, no text, no embedding."""

import asyncio
import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

from agents.models.openai import OpenAIModel
from agents.run import Watch, refine
from agents.setup import Options
from stores.connection import Connection
from stores.datasets import Dataset, Interaction, load_training, read_split
from stores.embedders import OpenAIEmbedder
from tests.worlds import make

OPTIONS = Options(hops=2)


def run(data: Dataset, far, workspace: Path) -> None:
    """A whole refine whose every prompt and embedding input crosses the wire to `far`."""

    async def whole() -> None:
        workspace.mkdir()
        model = OpenAIModel(Connection("openai", "far", far.url))
        embedder = OpenAIEmbedder(Connection("openai", "far", far.url))
        await refine(data, workspace, model, embedder, OPTIONS, Watch())
        await model.close()

    asyncio.run(whole())


def leaks(far, workspace: Path, training: set[tuple[str, str]]) -> list[str]:
    """Where a held-out review or a held-out neighbour shows, in words."""
    found = [
        f"{request['kind']}: a held-out review"
        for request in far.requests()
        if "heldout" in json.dumps(request["body"])
    ]
    db = sqlite3.connect(workspace / "ledger.sqlite")
    if db.execute("SELECT count(*) FROM texts WHERE body LIKE '%heldout%'").fetchone()[0]:
        found.append("ledger: a held-out review")
    texts = dict(db.execute("SELECT hash, body FROM texts"))
    for node, hop, messages in db.execute("SELECT node, hop, messages FROM calls"):
        if not node.startswith("user:"):
            continue
        shown = texts[json.loads(messages)[1][1]]
        for item in re.findall(r"^- title: ⟦title: Title-(i\d+)⟧$", shown, re.MULTILINE):
            if (node.removeprefix("user:"), item) not in training:
                found.append(f"{node} at hop {hop}: {item} is not a training neighbour")
    return found


def everything(folder: Path) -> tuple[Interaction, ...]:
    """What a careless loader would hand over: held-out interactions too."""
    rows = map(json.loads, (folder / "interactions.jsonl").read_text("utf-8").splitlines())
    return tuple(
        Interaction(r["user_id"], r["item_id"], r["rating"], r["timestamp"], r["review"])
        for r in rows
    )


def test_nothing_held_out_reaches_a_prompt_a_neighbour_list_a_text_or_an_embedding(
    far_side, tmp_path
):
    folder = make(tmp_path / "data")
    data, far = load_training(folder, tmp_path / "split", 0), far_side()
    run(data, far, tmp_path / "ws")
    training = set(read_split(folder, tmp_path / "split", 0)["train"])
    assert len(far.requests()) > 100
    assert leaks(far, tmp_path / "ws", training) == []


def test_the_leak_test_fails_when_the_graph_is_built_from_all_interactions(far_side, tmp_path):
    folder = make(tmp_path / "data")
    data, far = load_training(folder, tmp_path / "split", 0), far_side()
    run(replace(data, training=everything(folder)), far, tmp_path / "ws")
    found = leaks(far, tmp_path / "ws", {(r.user, r.item) for r in data.training})
    assert any("held-out review" in leak for leak in found)
    assert any("not a training neighbour" in leak for leak in found)
