"""Why a description says a word: followed hop by hop through the texts that were shown."""

import time

import pytest

from graph_ops.graph import build
from stores.datasets import Interaction, Item, User
from stores.ledger import Ledger
from stores.rows import Outcome
from stores.trails.nodes import life
from stores.trails.reading import reading
from viewer.evidence import shown, told
from viewer.pages import environment
from viewer.why import Source, why

SETTINGS = {"neighbours": 6, "sampling": "uniform", "seed": 0, "mode": "append"}
RUN = "r1"
TEXTS = {
    ("item:boots", 0): "Sturdy boots that keep mud out.",
    ("item:map", 0): "A map of the coast.",
    ("user:ada", 0): "Likes long walks.",
    ("user:ben", 0): "Likes maps.",
    ("item:boots", 1): "Sturdy boots that keep mud out.\n\nWorn by people who walk far.",
    ("item:map", 1): "A map of the coast.\n\nIts owners like lighthouses.",
    ("user:ada", 1): "Likes long walks.\n\nIs not afraid of mud.",
    ("user:ben", 1): "Likes maps.\n\nDreams of the coast.",
    ("user:ada", 2): "Likes long walks.\n\nIs not afraid of mud.\n\nDrawn to lighthouses and rum.",
}


@pytest.fixture
async def db(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        await ledger.begin_run(RUN, time.time(), SETTINGS)
        outcomes = [
            Outcome(node, hop, "written", 1, "", "refine_user@1:abc", "far", text)
            for (node, hop), text in TEXTS.items()
        ]
        await ledger.settle(RUN, outcomes)
    with reading(tmp_path) as found:
        yield found


@pytest.fixture
def graph():
    users = {id: User(id) for id in ("ada", "ben")}
    items = {"boots": Item("boots", "Boots"), "map": Item("map", "Coast map")}
    return build(
        users,
        items,
        [
            Interaction("ada", "boots", review="They laughed at the mud."),
            Interaction("ada", "map"),
            Interaction("ben", "map", review="Every lighthouse is on it."),
        ],
    )


def asked(db, graph, word, node="user:ada"):
    return why(db, graph, told(RUN, SETTINGS), life(db, node, RUN), word)


def test_the_hop_that_brought_a_word_is_the_first_that_has_it_from_there_on(db, graph):
    assert asked(db, graph, "walks").brought.hop == 0
    assert asked(db, graph, "mud").brought.hop == 1
    assert asked(db, graph, "lighthouses").brought.hop == 2
    assert asked(db, graph, "submarine").brought is None


def test_a_word_is_followed_through_a_neighbour_to_a_review(db, graph):
    found = asked(db, graph, "mud")
    (boots,) = found.sources
    assert (boots.node, boots.what, boots.hop) == ("item:boots", "description", 0)
    (review,) = boots.sources
    assert (review.node, review.what, review.hop) == ("user:ada", "review", None)
    assert "".join(piece.text for piece in review.passages[0]) == "They laughed at the mud."


def test_a_word_of_hop_two_is_followed_two_hops_down(db, graph):
    (source,) = asked(db, graph, "lighthouses").sources
    assert (source.node, source.hop) == ("item:map", 1)
    assert source.sources == ()  # what the map's question showed has no such word


def test_a_word_that_nobody_said_has_no_source(db, graph):
    found = asked(db, graph, "rum")
    assert found.brought.hop == 2 and found.sources == ()


def test_a_word_that_a_later_hop_dropped_is_asked_about_up_to_where_it_stood(db, graph):
    until_one = [one for one in life(db, "user:ada", RUN) if one.hop <= 1]
    found = why(db, graph, told(RUN, SETTINGS), until_one, "lighthouses")
    assert found.brought is None


def test_what_was_shown_is_the_neighbours_texts_of_the_layer_below(db, graph):
    texts = shown(db, graph, told(RUN, SETTINGS), "user:ada", 2)
    assert {(one.node, one.hop) for one in texts} == {
        ("user:ada", 1), ("item:boots", 1), ("item:map", 1),
    }  # fmt: skip
    assert all(one.text == TEXTS[one.node, one.hop] for one in texts)


def test_a_users_profile_was_shown_titles_profiles_and_own_reviews(db, graph):
    texts = shown(db, graph, told(RUN, SETTINGS), "user:ada", 0)
    assert ("own review", "item:boots", None, "They laughed at the mud.") in {
        (one.what, one.node, one.hop, one.text) for one in texts
    }
    assert {one.node for one in texts if one.hop == 0} == {"item:boots", "item:map"}


def test_of_many_texts_with_a_word_a_few_are_open_and_one_click_shows_the_rest():
    found = tuple(Source(f"user:u{n}", "review", None, []) for n in range(5))
    ask = '{% import "macros.html" as m %}{{ m.sources(found, none, "") }}'
    html = environment().from_string(ask).render(found=found)
    first, rest = html.split("<details>")
    assert [f"u{n}<" in first for n in range(5)] == [True] * 3 + [False] * 2
    assert [f"u{n}<" in rest for n in range(5)] == [False] * 3 + [True] * 2


def test_a_node_that_the_data_no_longer_has_was_shown_nothing(db, graph):
    assert shown(db, graph, told(RUN, SETTINGS), "user:gone", 1) == ()
