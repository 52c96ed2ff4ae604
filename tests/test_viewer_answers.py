"""What the page is given by a trained run and by the settings: `verbs.viewing`."""

from functools import partial

import numpy as np
import pytest

from errors import UsageError
from settings import Settings
from stores import runs
from stores.datasets import Interaction, Item, User, load_training
from stores.workspace import claim
from tests.worlds import make, turned
from training import serving
from training.serving import Trained
from verbs.viewing import Answers, Shelf, embedder_of, sources

USERS, ITEMS = 12, 9


@pytest.fixture
def answers():
    draw = np.random.default_rng(3)
    pairs = {(int(u), int(i)) for u, i in draw.integers(0, [USERS, ITEMS], size=(50, 2))}
    nodes = draw.normal(size=(USERS + ITEMS, 5)).astype(np.float32)
    return Answers(
        "run",
        [f"u{n}" for n in range(USERS)],
        [f"i{n}" for n in range(ITEMS)],
        np.array(sorted(pairs), dtype=np.int64),
        nodes,
    )


def trained(answers):
    return Trained(USERS, answers.nodes_ND, answers.pairs_P2)


def test_recommendations_are_those_of_the_trained_run(answers):
    expected = [
        (f"item:i{row}", score) for row, score in serving.recommended(trained(answers), 2, 4)
    ]
    assert [(item, score) for item, score, _ in answers.recommended("user:u2", 4)] == expected


def test_each_recommendation_names_the_own_item_that_is_most_like_it(answers):
    mine = trained(answers).taken(2)
    for item, _, like in answers.recommended("user:u2", 4):
        why = serving.reasons(trained(answers), 2, int(item[6:]), 1)
        assert like == f"item:i{why.nearest[0][0]}"
        assert int(like[6:]) in mine


def test_a_reason_is_the_same_as_with_everybodys_interactions(answers):
    for item in range(ITEMS):
        full = serving.reasons(trained(answers), 4, item, 5)
        found = answers.reason("user:u4", f"item:i{item}", 5)
        assert (found.score, found.rank, found.taken) == (full.score, full.rank, full.taken)
        assert found.nearest == [(f"item:i{row}", cosine) for row, cosine in full.nearest]
        assert [strength for _, strength in found.paths] == [path.strength for path in full.paths]
        for (nodes, _), path in zip(found.paths, full.paths, strict=True):
            own, other = f"item:i{path.liked}", f"user:u{path.other}"
            assert nodes == ("user:u4", own, other, f"item:i{item}")


def test_the_nearest_are_of_the_same_kind(answers):
    assert {node[:5] for node, _ in answers.nearest("item:i1", 5)} == {"item:"}
    users = serving.nearest(answers.nodes_ND[:USERS], 1, 3)
    assert answers.nearest("user:u1", 3) == [(f"user:u{row}", cosine) for row, cosine in users]


def test_a_node_that_was_not_trained_is_told(answers):
    with pytest.raises(UsageError, match="no user 'nobody'"):
        answers.recommended("user:nobody", 3)


class Data:
    settled = "d"
    users = {"u1": User("u1")}
    items = {"i1": Item("i1"), "i2": Item("i2")}
    training = (Interaction("u1", "i1"),)


def test_a_run_that_was_trained_anew_is_read_anew(tmp_path):
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)

    def write(value, finished):
        nodes = np.full((3, 2), value, dtype=np.float32)
        runs.write_embeddings(folder, runs.Embeddings(["u1"], ["i1", "i2"], nodes))
        runs.write_record(folder, {"name": "one", "settled": "d", "finished": finished})

    shelf = Shelf(tmp_path)
    write(1.0, "2026-01-01")
    assert shelf.run(None, Data).recommended("user:u1", 1)[0][1] == 2.0
    assert shelf.run("one", Data) is shelf.run(None, Data)
    write(3.0, "2026-01-02")
    assert shelf.run(None, Data).recommended("user:u1", 1)[0][1] == 18.0


def test_a_question_goes_to_no_server_that_only_the_workspace_names():
    with pytest.raises(UsageError, match="embedded by openai:x@http://elsewhere"):
        embedder_of(Settings(), "openai:x@http://elsewhere/v1")


def test_the_embedder_of_the_settings_is_used_where_it_is_the_same():
    assert embedder_of(Settings(), "minilm").name == "minilm"


def test_a_server_that_would_be_asked_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = make(tmp_path / "data")
    assert sources(data, None, None).asks == ""
    spec = "openai:far@http://127.0.0.1:9/v1"
    assert sources(data, None, spec).asks == spec


def test_a_split_that_changed_is_not_recorded_by_looking(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, workspace = make(tmp_path / "data"), tmp_path / "ws"
    workspace.mkdir()
    load_training(data, workspace / "split", 0, partial(claim, workspace))
    turned(data)
    before = (workspace / "split" / "split.json").read_bytes()
    assert sources(data, workspace, None).place() is not None
    assert (workspace / "split" / "split.json").read_bytes() == before
    load_training(data, workspace / "split", 0, partial(claim, workspace))
    assert (workspace / "split" / "split.json").read_bytes() != before  # a run does record it
