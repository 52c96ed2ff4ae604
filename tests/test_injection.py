"""Hostile titles and reviews in a whole refine: nothing is obeyed and nothing of them is stored."""

import pytest

from agents.orders import suspicion
from stores.descriptions import Descriptions
from tests.far_side.obedient import OBEYED, inside, outside
from tests.hostile import HOSTILE, TEXTS, found_in, touched, world
from tests.injection import caught, stored_texts, table

HOPS = 1


def refined(cli, far, data, workspace):
    done = cli(
        "refine", "--data", data, "--workspace", workspace, "--hops", HOPS, "--json", "-j", "32",
        "--model", f"openai:far@{far.url}", "--embedder", f"openai:far@{far.url}",
    )  # fmt: skip
    assert done.code == 0, done.err
    return workspace


def descriptions(workspace, hop):
    stored = Descriptions(workspace / "chroma")
    return {**stored.texts("user", hop), **stored.texts("item", hop)}


def questions(far):
    return [request["body"] for request in far.requests() if request["kind"] == "chat"]


def test_there_are_many_hostile_texts_of_many_kinds():
    assert len(HOSTILE) >= 60
    assert len({hostile.text for hostile in HOSTILE}) == len(HOSTILE)
    assert len(TEXTS) >= 12


@pytest.mark.timeout(400)
def test_a_model_that_obeys_what_is_outside_of_the_fence_finds_nothing_to_obey(
    cli, far_side, tmp_path
):
    far = far_side("obedient")
    hostile = refined(cli, far, world(tmp_path / "data", hostile=True), tmp_path / "hostile")
    harmless = refined(cli, far, world(tmp_path / "same", hostile=False), tmp_path / "harmless")
    asked = questions(far)
    assert sum(any(found_in(inside(messages))) for messages in asked) > len(HOSTILE)
    assert not [messages for messages in asked if any(found_in(outside(messages)))]
    assert not [text for text in stored_texts(hostile) if OBEYED in text]
    for hop in range(HOPS + 1):
        ours, theirs = descriptions(hostile, hop), descriptions(harmless, hop)
        untouched = set(ours) - touched(hop)
        assert len(untouched) > 50
        assert {n: ours[n] for n in untouched} == {n: theirs[n] for n in untouched}
        assert sum(ours[n] != theirs[n] for n in touched(hop)) > len(HOSTILE)


@pytest.mark.timeout(400)
def test_a_model_that_repeats_hostile_text_gets_none_of_it_into_a_store(cli, far_side, tmp_path):
    far = far_side("obedient", parrots="yes")
    workspace = refined(cli, far, world(tmp_path / "data", hostile=True), tmp_path / "ws")
    rows = caught(workspace)
    print("\n" + table(rows))
    assert sum(row.repeated for row in rows) > len(HOSTILE)
    assert [row.kind for row in rows if row.stored or row.caught < row.repeated] == []
    assert not [text for text in stored_texts(workspace) if suspicion(text)]


def test_the_extractive_writer_alone_carries_nothing_hostile_into_a_store(cli, tmp_path):
    data, workspace = world(tmp_path / "data", hostile=True), tmp_path / "ws"
    done = cli("refine", "--data", data, "--workspace", workspace, "--hops", HOPS, "--json")
    assert done.code == 0, done.err
    assert {kind.kind for kind in caught(workspace) if kind.stored} == set()
