"""Looking at nodes: what a real run did with each, which fell back and why."""

import sqlite3
from contextlib import closing

import pytest

from errors import UsageError
from stores.trails import calls, figures, nodes, runs
from stores.trails.reading import reading
from tests.finished import finished


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with finished(tmp_path_factory.mktemp("nodes"), bad=0.6) as at:
        yield at


@pytest.fixture
def db(made):
    with reading(made.ws) as opened:
        yield opened


def test_a_run_tells_how_it_went(db):
    (run,) = runs.runs(db)
    (rows,) = db.execute("SELECT count(*) FROM calls").fetchone()
    assert (run.how, run.calls) == ("done", rows)
    assert run.settings["hops"] == 2 and run.settings["model"] == "openai:far"
    assert sum(run.nodes.values()) == 14 * 3
    assert run.started < run.active < run.ended
    assert run.repairs > 0 and run.failed_calls > 0
    assert runs.run(db, "last") == runs.run(db, run.id) == run


def test_an_unknown_run_lists_those_that_there_are(db):
    with pytest.raises(UsageError) as error:
        runs.run(db, "2001")
    assert runs.runs(db)[0].id in error.value.hint


def test_the_stages_of_a_run_come_in_their_order_with_what_became_of_their_nodes(db):
    (run,) = runs.runs(db)
    found = runs.stages(db, run.id)
    assert [stage.name for stage in found] == [
        *("item profiles", "user profiles", "hop 1", "hop 2", "embedding"),
    ]
    assert [stage.needed for stage in found] == [6, 8, 14, 14, None]
    assert [stage.settled for stage in found] == [6, 8, 14, 14, 0]
    for stage in found[:4]:
        assert stage.accepted + stage.rejected + stage.failed > 0
        kind = stage.name.partition(" profiles")[0] + ":%" if stage.hop == 0 else "%"
        told = db.execute(
            "SELECT status, count(*) FROM outcomes WHERE hop = ? AND node LIKE ? GROUP BY status",
            (stage.hop, kind),
        )
        assert stage.nodes == dict(told.fetchall())


def test_a_run_says_which_stages_are_to_come(made):
    """As one that was just begun: its row is there and nothing else."""
    with closing(sqlite3.connect(made.ws / "ledger.sqlite")) as writer:
        writer.execute(
            "INSERT INTO runs (id, started, settings) SELECT 'begun', 1.0, settings FROM runs"
        )
        writer.commit()
    try:
        with reading(made.ws) as db:
            assert [stage.needed for stage in runs.stages(db, "begun")] == [6, 8, 14, 14]
            assert runs.run(db, "begun").how == "" and runs.run(db, "begun").active is None
    finally:
        with closing(sqlite3.connect(made.ws / "ledger.sqlite")) as writer:
            writer.execute("DELETE FROM runs WHERE id = 'begun'")
            writer.commit()


def test_a_nodes_life_has_a_text_per_hop_and_the_calls_that_led_to_it(db):
    for node in [f"user:u{n}" for n in range(8)] + [f"item:i{n}" for n in range(6)]:
        life = nodes.life(db, node)
        assert [one.hop for one in life] == [0, 1, 2]
        for one in life:
            behind = calls.behind(db, one)
            if one.status == "unchanged":
                continue
            assert sorted({row.turn for row in behind}) == list(range(one.turns))
            if one.status == "written":
                last = calls.whole(db, behind[-1].id)
                assert last.row.status == "accepted" and last.key == one.key


def test_a_node_that_fell_back_says_why_and_its_replies_were_rejected(db):
    (run,) = runs.runs(db)
    page = nodes.fallen(db, run.id)
    assert page.rows and page.following is None
    for row in page.rows:
        (one,) = [one for one in nodes.life(db, row.node) if one.hop == row.hop]
        assert (one.status, one.model) == (row.status, "extractive")
        behind = calls.behind(db, one)
        assert behind[-1].status == "rejected" and behind[-1].reason == row.reason != ""
    assert sum(count for _, count in nodes.reasons(db, run.id)) == len(page.rows)


def test_those_that_fell_back_are_paged_by_hop_and_node(db):
    (run,) = runs.runs(db)
    every = [(row.hop, row.node) for row in nodes.fallen(db, run.id).rows]
    assert every == sorted(every) and len(every) > 1
    found, after = [], None
    while True:
        page = nodes.fallen(db, run.id, after=after, limit=1)
        found += [(row.hop, row.node) for row in page.rows]
        after = page.following
        if after is None:
            break
    assert found == every
    some = [row.node for row in nodes.fallen(db, run.id, hop=1).rows]
    assert some == [node for hop, node in every if hop == 1]
    assert sum(count for _, count in nodes.reasons(db, run.id, hop=1)) == len(some) < len(every)


def test_descriptions_are_found_by_run_hop_and_node(db):
    (run,) = runs.runs(db)
    layer = dict(nodes.layer(db, run.id, 1))
    assert len(layer) == 14
    some = nodes.described(db, run.id, 1, ["user:u1", "item:i2", "user:nobody"])
    assert some == {node: nodes.text(db, layer[node]) for node in ("user:u1", "item:i2")}
    assert nodes.text(db, "0" * 32) is None


@pytest.mark.parametrize(
    ("beginning", "found"),
    [
        ("u1", ["user:u1"]),
        ("user:u", [f"user:u{n}" for n in range(8)]),
        ("i", [f"item:i{n}" for n in range(6)]),
        ("item:", [f"item:i{n}" for n in range(6)]),
        ("", [f"item:i{n}" for n in range(6)] + [f"user:u{n}" for n in range(8)]),
        ("x", []),
    ],
)
def test_ids_are_found_by_their_beginning(db, beginning, found):
    assert nodes.ids(db, beginning) == found
    assert nodes.ids(db, beginning, 2) == found[:2]


def test_an_unknown_node_is_told_with_some_that_there_are(db):
    with pytest.raises(UsageError) as error:
        nodes.life(db, "user:u99")
    assert "user:u0" in error.value.hint


def test_versions_tell_what_their_words_were_used_for(db):
    found = {one.name: one for one in figures.versions(db)}
    assert set(found) == {"item_profile", "user_profile", "refine_item", "refine_user"}
    for one in found.values():
        assert one.ref == f"{one.name}@{one.version}:{one.digest}"
        (rows,) = db.execute("SELECT count(*) FROM calls WHERE prompt = ?", (one.ref,)).fetchone()
        assert (one.calls, one.known) == (rows, True)
    assert found["refine_user"].nodes == 16
    # The server's model has no price.
    assert all(one.unpriced and not one.cost_nanousd for one in found.values())


def test_the_text_of_a_version_is_found_by_its_digest(db):
    from prompts.library import load

    for one in figures.versions(db):
        assert figures.template(db, one.digest) == load(one.name).source
    assert figures.template(db, "0" * 12) is None and figures.template(db, "") is None
