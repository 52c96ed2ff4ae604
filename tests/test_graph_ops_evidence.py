"""Evidence: what a question about a node may show, and what it must never show."""

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_ops import evidence
from graph_ops.budget import CUT, tokens
from graph_ops.evidence import (
    Chosen,
    ItemEvidence,
    Neighbour,
    Opinion,
    RefineEvidence,
    UserEvidence,
    item_evidence,
    refine_evidence,
    user_evidence,
)
from graph_ops.neighbourhood import Sampling, neighbours

ALL = Sampling(k=100)
PLENTY = 10_000


def graph_of(reviews, description=None, attributes=None, user_attributes=None):
    """`reviews` maps (user, item) to what was written, or to (rating, what was written)."""
    graph = nx.Graph()
    for (user, item), said in reviews.items():
        rating, review = said if isinstance(said, tuple) else (None, said)
        graph.add_node(f"user:{user}", attributes=user_attributes or {})
        graph.add_node(
            f"item:{item}",
            title=f"Title {item}",
            description=description,
            attributes=attributes or {},
        )
        graph.add_edge(f"user:{user}", f"item:{item}", rating=rating, timestamp=None, review=review)
    return graph


# Items (RLMRec eq. 13)


def test_an_item_with_a_description_is_shown_by_it_and_not_by_reviews():
    graph = graph_of({("a", "x"): "Loud."}, description="A pedal.", attributes={"colour": "red"})
    assert item_evidence(graph, "item:x", ALL, PLENTY) == ItemEvidence(
        "Title x", "A pedal.", {"colour": "red"}, ()
    )


@pytest.mark.parametrize("missing", [None, ""])
def test_an_item_without_a_description_is_shown_by_attributes_and_reviews(missing):
    graph = graph_of({("a", "x"): (4.0, "Loud.")}, missing, {"colour": "red"})
    assert item_evidence(graph, "item:x", ALL, PLENTY) == ItemEvidence(
        "Title x", None, {"colour": "red"}, (Opinion("Loud.", 4.0),)
    )


def test_only_users_who_wrote_something_are_sampled_for_reviews():
    reviews = {(f"silent{n}", "x"): (5.0, None) for n in range(20)} | {
        ("a", "x"): "Loud.",
        ("b", "x"): "",
    }
    evidence = item_evidence(graph_of(reviews), "item:x", Sampling(k=1), PLENTY)
    assert evidence.reviews == (Opinion("Loud.", None),)


def test_at_most_k_reviews_are_shown_and_another_seed_shows_others():
    graph = graph_of({(n, "x"): f"Review {n}." for n in range(30)})
    shown = [item_evidence(graph, "item:x", Sampling(3, seed=s), PLENTY).reviews for s in (0, 1)]
    assert [len(reviews) for reviews in shown] == [3, 3]
    assert shown[0] != shown[1]


def test_each_rating_stays_with_its_review():
    graph = graph_of({(n, "x"): (float(n), f"I give it {n}.") for n in range(9)})
    for opinion in item_evidence(graph, "item:x", ALL, PLENTY).reviews:
        assert opinion.text == f"I give it {opinion.rating:.0f}."


# Users (RLMRec eq. 14)


def test_a_user_is_shown_by_own_reviews_and_the_profiles_of_the_same_items():
    reviews = {("a", n): (float(n), f"Review of {n}.") for n in range(5)}
    strangers = {("b", n): (0.0, f"Somebody else on {n}.") for n in range(5)}
    profiles = {f"item:{n}": f"Profile of {n}." for n in range(5)}
    evidence = user_evidence(graph_of(reviews | strangers), "user:a", profiles, ALL, PLENTY)
    assert sorted(evidence.chosen, key=lambda one: one.rating) == [
        Chosen(f"Title {n}", f"Profile of {n}.", f"Review of {n}.", float(n)) for n in range(5)
    ]


def test_the_sampled_items_are_those_whose_profiles_the_ball_asks_for():
    graph, sampling = graph_of({("a", n): None for n in range(20)}), Sampling(k=4)
    evidence = user_evidence(graph, "user:a", {}, sampling, PLENTY)
    drawn = neighbours(graph, "user:a", 0, sampling)
    assert [one.title for one in evidence.chosen] == [graph.nodes[n]["title"] for n in drawn]


def test_an_item_without_profile_and_review_is_shown_by_its_title():
    evidence = user_evidence(graph_of({("a", "x"): None}), "user:a", {}, ALL, PLENTY)
    assert evidence.chosen == (Chosen("Title x", "", "", None),)


@pytest.mark.parametrize("key", ["name", "Name", "email", "EMAIL", "phone", "user_name"])
def test_private_attributes_of_a_user_are_never_shown(key):
    known = {key: "Ann", "town": "Graz"}
    graph = graph_of({("a", "x"): None}, user_attributes=known)
    assert user_evidence(graph, "user:a", {}, ALL, PLENTY).attributes == {"town": "Graz"}


# Refinement (GaCLLM)


def test_a_refinement_shows_the_own_text_and_the_neighbours_texts_of_the_layer_below():
    graph = graph_of({("a", "x"): "Loud.", ("a", "y"): "Soft."})
    below = {"user:a": "Own.", "item:x": "About x.", "item:y": "About y."}
    evidence = refine_evidence(graph, "user:a", 1, below, ALL, PLENTY)
    drawn = neighbours(graph, "user:a", 1, ALL)
    assert evidence == RefineEvidence(
        None,
        "Own.",
        tuple(Neighbour(n, f"Title {n[-1]}", f"About {n[-1]}.") for n in drawn),
    )


def test_a_refined_item_has_its_title_and_its_users_have_none():
    graph = graph_of({("a", "x"): None})
    evidence = refine_evidence(graph, "item:x", 1, {"user:a": "Tastes."}, ALL, PLENTY, True)
    assert evidence == RefineEvidence(
        "Title x", "", (Neighbour("user:a", None, "Tastes."),), replaces=True
    )


def test_neighbours_without_a_text_are_left_out():
    graph = graph_of({("a", "x"): None, ("a", "y"): None, ("a", "z"): None})
    evidence = refine_evidence(graph, "user:a", 1, {"item:x": "", "item:y": "Y."}, ALL, PLENTY)
    assert [n.node for n in evidence.neighbours] == ["item:y"]


# All of them


@pytest.mark.parametrize(
    ("empty", "full"),
    [
        (ItemEvidence(None, None, {}, ()), ItemEvidence(None, None, {"a": "b"}, ())),
        (UserEvidence({}, ()), UserEvidence({}, (Chosen(None, "", "", None),))),
        (RefineEvidence("T", "own", ()), RefineEvidence(None, "", (Neighbour("n", None, "t"),))),
    ],
)
def test_evidence_that_gives_nothing_to_ask_about_is_false(empty, full):
    assert not empty
    assert full


long = st.sampled_from(("lang. ", "读者。")).flatmap(
    lambda text: st.integers(0, 300).map(text.__mul__)
)


@given(st.lists(long, min_size=1, max_size=6), st.integers(60, 400))
def test_the_budget_holds_for_every_kind_of_evidence(texts, budget):
    graph = graph_of({("a", n): text for n, text in enumerate(texts)})
    below = {f"item:{n}": text for n, text in enumerate(texts)} | {"user:a": texts[0]}
    item = item_evidence(graph, "item:0", ALL, budget)
    user = user_evidence(graph, "user:a", below, ALL, budget)
    refined = refine_evidence(graph, "user:a", 1, below, ALL, budget)
    described = item_evidence(graph_of({("a", 0): None}, texts[-1]), "item:0", ALL, budget)
    for shown in (
        [review.text for review in item.reviews],
        [text for one in user.chosen for text in (one.profile, one.review)],
        [refined.own, *(n.text for n in refined.neighbours)],
        [described.description or ""],
    ):
        assert sum(map(tokens, shown)) <= budget


def test_what_is_cut_for_the_budget_is_marked():
    graph = graph_of({("a", "x"): None}, description="One sentence. " * 100)
    description = item_evidence(graph, "item:x", ALL, 50).description
    assert description == " ".join(["One sentence."] * 13) + CUT


@given(st.permutations(range(8)))
def test_the_same_graph_gives_the_same_evidence_whatever_the_order_of_rows(order):
    rows = {("a", n): f"Review {n}." for n in range(4)} | {
        (n, "x"): f"On x: {n}." for n in range(4)
    }
    shuffled = {list(rows)[place]: list(rows.values())[place] for place in order}
    texts = {f"item:{n}": f"About {n}." for n in range(4)}
    for sampling in (Sampling(2), Sampling(3, seed=7)):
        one, other = (
            (
                item_evidence(graph, "item:x", sampling, 200),
                user_evidence(graph, "user:a", texts, sampling, 200),
                refine_evidence(graph, "user:a", 2, texts, sampling, 200),
            )
            for graph in (graph_of(rows), graph_of(shuffled))
        )
        assert one == other


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        ("genre", True),
        ("age_rating", True),
        ("franchise", True),
        ("video", True),
        ("average_rating", False),
        ("rating_number", False),
        ("num_reviews", False),
        ("rating", False),
        ("uid", False),
        ("parent_asin", False),
        ("image_url", False),
        ("sales_rank", False),
    ],
)
def test_ids_links_and_figures_over_all_interactions_are_not_shown(column, shown):
    assert (not evidence.TELLS_NOTHING.search(column)) is shown


@pytest.mark.parametrize("column", ["name", "reviewerName", "full name", "E-Mail", "Phone number"])
def test_columns_that_name_a_person_are_not_shown(column):
    assert evidence.PRIVATE.search(column)
