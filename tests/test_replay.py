"""`traces replay`: a question asked again elsewhere or in other words, and never a node's text."""

import sqlite3
from contextlib import closing

import pytest

from prompts.library import load
from tests.finished import finished


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    with finished(tmp_path_factory.mktemp("base"), users=6, items=5, bad=0.4) as at:
        yield at


@pytest.fixture
def made(base, tmp_path):
    return base.copied(tmp_path)


def one(made, sql):
    with closing(sqlite3.connect(made.ws / "ledger.sqlite")) as db:
        return db.execute(sql).fetchone()


def outcomes(made):
    with closing(sqlite3.connect(made.ws / "ledger.sqlite")) as db:
        return db.execute("SELECT node, hop, status, text FROM outcomes").fetchall()


HOP_1 = "SELECT id FROM calls WHERE hop = 1 AND status = 'accepted' AND turn = 0 LIMIT 1"


def test_the_very_messages_are_asked_again_of_another_model(made):
    (id,) = one(made, HOP_1)
    found = made.look("traces", "replay", id, "--model", "offline", "--json").summary
    original, replay = found["original"], found["replay"]
    assert replay["messages"] == original["messages"]
    assert (replay["model"], replay["status"]) == ("offline", "accepted")
    assert replay["reply"] != original["reply"]
    assert (replay["node"], replay["hop"]) == (original["node"], original["hop"])
    assert replay["replay_of"] == id


def test_without_a_name_the_same_model_is_asked(made):
    (id,) = one(made, HOP_1)
    before = len(made.asked())
    found = made.look("traces", "replay", id, "--json").summary
    assert made.asked()[before:] == made.asked()[-1:]
    assert found["replay"]["model"] == found["original"]["model"] == "openai:far"
    assert found["replay"]["reply"] == found["original"]["reply"]


def test_another_template_is_filled_with_what_the_node_saw(made):
    (id,) = one(made, HOP_1 + " OFFSET 1")
    (ref,) = one(made, f"SELECT prompt FROM calls WHERE id = {id}")
    name = ref.partition("@")[0]
    draft = made.home / f"{name}.md"
    draft.write_text(load(name).source.replace("# user\n", "# user\nThink first.\n"), "utf-8")
    found = made.look("traces", "replay", id, "--prompt", draft, "--json").summary
    asked = found["original"]["messages"][1]["content"]
    assert found["replay"]["messages"][1]["content"] == f"Think first.\n{asked}"
    assert found["replay"]["prompt"] != ref


def test_a_repair_is_asked_again_with_all_its_messages(made):
    (id,) = one(made, "SELECT id FROM calls WHERE turn = 1 LIMIT 1")
    found = made.look("traces", "replay", id, "--model", "offline", "--json").summary
    assert len(found["replay"]["messages"]) == 4


def test_an_experiment_changes_no_text_and_answers_no_question(made):
    before = outcomes(made)
    (id,) = one(made, HOP_1)
    assert made.look("traces", "replay", id, "--json").code == 0
    assert outcomes(made) == before
    (calls,) = one(made, "SELECT count(*) FROM calls")
    again = made.run("refine", "--json", *made.model)
    assert again.summary["calls"] == 0
    # A run of another model does not take the experiment for an answer either.
    made.look("traces", "replay", id, "--model", "offline")
    first = made.run("refine", "--hops", "1", "--json", "--model", "offline").summary
    assert first["cached"] == 0
    assert one(made, "SELECT count(*) FROM calls")[0] > calls


def test_an_experiment_is_found_with_its_call_and_in_the_lists(made):
    (id,) = one(made, HOP_1)
    made.look("traces", "replay", id, "--model", "offline")
    shown = made.look("traces", "show", id, "--json").summary
    (experiment,) = shown["experiments"]
    listed = made.look("traces", "list", "--stage", "replay", "--json").summary["calls"]
    assert [call["id"] for call in listed] == [experiment["id"]]
    life = made.look("traces", "node", shown["node"], "--json").summary
    assert experiment["id"] not in [c["id"] for hop in life["hops"] for c in hop["calls"]]
    assert (
        made.look("traces", "stats", "--by", "stage", "--stage", "replay", "--json").summary[
            "stage"
        ][0]["calls"]
        == 1
    )


def test_a_model_that_does_not_answer_makes_a_failed_experiment(made):
    (id,) = one(made, HOP_1)
    done = made.look("traces", "replay", id, "--model", "openai:x@http://127.0.0.1:1/v1", "--json")
    assert done.code == 3
    assert done.summary["replay"]["status"] == "failed"
    assert done.summary["replay"]["reply"] is None and done.summary["replay"]["check"]


@pytest.mark.parametrize(
    ("which", "flags", "said"),
    [
        ("hop = -1", [], "no question"),
        ("hop = 1", ["--prompt", "item_profile"], "was asked by"),
        ("hop = 1", ["--model", "opena1:x"], "openai:NAME"),
    ],
)
def test_what_cannot_be_asked_again_is_told(made, which, flags, said):
    (id,) = one(made, f"SELECT id FROM calls WHERE {which} LIMIT 1")
    done = made.look("traces", "replay", id, *flags)
    assert done.code == 2 and said in done.err


def test_a_replay_is_not_replayed(made):
    (id,) = one(made, HOP_1)
    new = made.look("traces", "replay", id, "--model", "offline", "--json").summary["replay"]["id"]
    done = made.look("traces", "replay", new)
    assert done.code == 2 and str(id) in done.err
