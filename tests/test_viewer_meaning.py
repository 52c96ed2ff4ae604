"""Search by meaning: exact, over each node's last description, from what is embedded already."""

import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest

from errors import UsageError
from stores.connection import Connection
from stores.embedders.openai import OpenAIEmbedder
from stores.ledger import Ledger
from stores.rows import Outcome
from stores.trails.reading import reading
from stores.vectors import Vectors
from viewer.meaning import Meaning

LAST = {
    "user:ada": "walks mud rain",
    "user:ben": "walks mud boots",
    "user:cyd": "opera velvet evenings",
    "item:boots": "walks mud rain boots",
}


@pytest.fixture
def embedder(far_side):
    return OpenAIEmbedder(Connection("openai", "far", url=far_side().url))


async def run(workspace, embedder, id, texts, ended="done", **settings):
    """A run with two hops; the text of hop 1 is that of hop 0 and a paragraph."""
    told = {"hops": 1, "embedder": embedder.name, "limit": None, **settings}
    with Ledger(workspace / "ledger.sqlite") as ledger:
        await ledger.begin_run(id, time.time(), told)
        for hop in (0, 1):
            await ledger.settle(
                id,
                [
                    Outcome(node, hop, "written", 1, "", "p@1:a", "far", _text(text, hop))
                    for node, text in texts.items()
                ],
            )
        if ended:
            await ledger.end_run(id, time.time(), {"ended": ended})
    with Vectors(workspace / "vectors.sqlite", embedder) as vectors:
        vectors.embed([_text(text, hop) for text in texts.values() for hop in (0, 1)])


def _text(text, hop):
    return text if hop == 0 else f"{text}\n\n{text} again"


@pytest.fixture
async def meaning(tmp_path, embedder):
    await run(tmp_path, embedder, "r1", LAST)
    return Meaning(tmp_path, lambda name: embedder)


def test_a_question_finds_the_descriptions_nearest_to_it(tmp_path, meaning, embedder):
    with reading(tmp_path) as db:
        hits = meaning.search(db, "opera velvet", 4)
        matrix = meaning.matrix(db)
    assert hits[0].node == "user:cyd" and hits[0].hop == 1
    assert hits[0].text == _text(LAST["user:cyd"], 1)
    asked = embedder.embed(["opera velvet"])[0]
    for hit in hits:
        row = matrix.rows[matrix.places[hit.node]]
        assert hit.score == pytest.approx(float(row @ asked), abs=1e-6)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_the_nearest_nodes_are_of_the_same_kind_and_not_the_node_itself(tmp_path, meaning):
    with reading(tmp_path) as db:
        hits = meaning.nearest(db, "user:ada", 10)
    assert [hit.node for hit in hits] == ["user:ben", "user:cyd"]


async def test_a_run_that_ended_since_is_heard_of(tmp_path, meaning, embedder):
    with reading(tmp_path) as db:
        assert meaning.search(db, "opera", 1)[0].node == "user:cyd"
    await run(tmp_path, embedder, "r2", {**LAST, "user:ben": "opera opera opera opera"})
    with reading(tmp_path) as db:
        assert meaning.search(db, "opera", 1)[0].node == "user:ben"


async def test_a_run_with_a_limit_leaves_the_other_nodes_their_texts(tmp_path, meaning, embedder):
    await run(tmp_path, embedder, "r2", {"user:ada": "opera opera opera"}, limit=1)
    with reading(tmp_path) as db:
        matrix = meaning.matrix(db)
        assert set(matrix.nodes) == set(LAST)
        assert meaning.search(db, "opera", 1)[0].node == "user:ada"


async def test_a_run_that_goes_on_does_not_take_away_what_is_embedded(tmp_path, meaning, embedder):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        await ledger.begin_run("r2", time.time(), {"hops": 1, "embedder": embedder.name})
        await ledger.settle(
            "r2", [Outcome("user:ada", 0, "written", 1, "", "p@1:a", "far", "not embedded yet")]
        )
    with reading(tmp_path) as db:
        assert set(meaning.matrix(db).nodes) == set(LAST)


async def test_nodes_without_an_embedding_are_counted(tmp_path, meaning):
    with closing(sqlite3.connect(tmp_path / "vectors.sqlite")) as db, db:
        hashes = [row[0] for row in db.execute("SELECT hash FROM vectors")]
        db.execute("DELETE FROM vectors WHERE hash = ?", (hashes[0],))
    with reading(tmp_path) as db:
        matrix = meaning.matrix(db)
    assert matrix.missing >= 1 and len(matrix.nodes) + matrix.missing == len(LAST)
    np.testing.assert_allclose(np.linalg.norm(matrix.rows, axis=1), 1, atol=1e-5)


async def test_before_the_first_run_has_ended_there_is_nothing_to_compare_with(tmp_path, embedder):
    await run(tmp_path, embedder, "r1", LAST, ended="")
    with reading(tmp_path) as db, pytest.raises(UsageError, match="No run has ended yet"):
        Meaning(tmp_path, lambda name: embedder).matrix(db)


async def test_an_embedder_of_another_width_is_told(tmp_path, meaning):
    class Narrow:
        name, remote, used, window = "narrow", False, 0, 100

        def count(self, text):
            return 1

        def embed(self, texts):
            return np.ones((len(texts), 3), dtype=np.float32)

    other = Meaning(tmp_path, lambda name: Narrow())
    with reading(tmp_path) as db, pytest.raises(UsageError, match="gives 3 numbers now"):
        other.search(db, "opera", 1)
