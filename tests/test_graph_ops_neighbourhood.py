"""Sampling: stable, bounded, by rule; and the ball of nodes that targets need below them."""

from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import UsageError
from graph_ops.neighbourhood import RULES, Sampling, ball, chance, neighbours

pairs_of = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30, unique=True
)
rules = st.sampled_from(sorted(RULES))
# Some with a timestamp of their own, some with equal ones, some without.
STAMPS = {(u, i): (None, 1.0, 2.0, float(i))[(u + 2 * i) % 4] for u in range(7) for i in range(7)}


def graph_of(pairs, when=None):
    """Users and items by number; `when` maps a pair to its timestamp."""
    graph = nx.Graph()
    for user, item in pairs:
        stamp = (when or {}).get((user, item))
        graph.add_edge(f"user:{user}", f"item:{item}", timestamp=stamp)
    return graph


def star(leaves, when=None):
    """One user, `user:0`, with this many items."""
    return graph_of([(0, leaf) for leaf in range(leaves)], when)


# Sampling


@given(pairs_of, st.randoms(use_true_random=False), st.integers(1, 4), rules)
def test_the_sample_does_not_depend_on_the_order_of_rows(pairs, random, k, rule):
    shuffled = random.sample(pairs, len(pairs))
    one, other = graph_of(pairs, STAMPS), graph_of(shuffled, STAMPS)
    for node in one:
        drawn = neighbours(one, node, 1, Sampling(k, rule))
        assert drawn == neighbours(other, node, 1, Sampling(k, rule))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("k", "drawn"), [(1, 1), (3, 3), (5, 5), (9, 5)])
def test_at_most_k_different_neighbours_are_drawn(rule, k, drawn):
    graph = star(5)
    found = neighbours(graph, "user:0", 1, Sampling(k, rule))
    assert len(found) == len(set(found)) == drawn
    assert set(found) <= set(graph.adj["user:0"])


def test_a_node_without_interactions_has_no_neighbours():
    graph = nx.Graph()
    graph.add_node("user:0")
    assert neighbours(graph, "user:0", 1, Sampling()) == ()


@given(pairs_of, st.tuples(st.integers(0, 6), st.integers(0, 6)), st.integers(1, 4), rules)
def test_one_new_interaction_changes_at_most_one_drawn_neighbour_of_any_node(pairs, new, k, rule):
    sampling = Sampling(k, rule)
    before, after = graph_of(pairs, STAMPS), graph_of([*pairs, new], STAMPS)
    for node in before:
        drawn = set(neighbours(before, node, 1, sampling))
        assert len(drawn - set(neighbours(after, node, 1, sampling))) <= 1


def test_seed_and_hop_each_draw_anew():
    graph = star(40)
    drawn = {
        neighbours(graph, "user:0", hop, Sampling(5, seed=seed))
        for hop in (0, 1)
        for seed in (0, 1)
    }
    assert len(drawn) == 4


def test_uniform_draws_every_neighbour_about_equally_often():
    graph = star(4)
    first = [neighbours(graph, "user:0", 1, Sampling(1, seed=s))[0] for s in range(2000)]
    # 500 expected for each; 5 standard deviations are 97.
    assert all(abs(first.count(f"item:{i}") - 500) < 97 for i in range(4))


def test_recent_takes_the_latest_and_puts_missing_timestamps_last():
    when = {(0, 0): 10.0, (0, 1): 30.0, (0, 2): None, (0, 3): 20.0, (0, 4): -5.0}
    drawn = neighbours(star(5, when), "user:0", 1, Sampling(5, "recent"))
    assert drawn == ("item:1", "item:3", "item:0", "item:4", "item:2")


def test_degree_damped_draws_a_popular_neighbour_less_often_than_uniform():
    # item:0 has 16 users, item:1 one: weights 1/4 and 1, so item:0 comes first once in five.
    graph = graph_of([(user, 0) for user in range(16)] + [(0, 1)])

    def share(rule):
        firsts = [neighbours(graph, "user:0", 1, Sampling(1, rule, s))[0] for s in range(2000)]
        return firsts.count("item:0") / 2000

    assert share("uniform") == pytest.approx(0.5, abs=0.056)
    assert share("degree-damped") == pytest.approx(0.2, abs=0.045)


def test_an_unknown_rule_lists_the_known_ones():
    with pytest.raises(UsageError, match="Unknown sampling rule 'popular'") as caught:
        Sampling(rule="popular")
    assert "uniform, recent, degree-damped" in caught.value.hint


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_a_chance_lies_strictly_between_0_and_1_and_is_always_the_same(parts):
    assert 0 < chance(*parts) < 1
    assert chance(*parts) == chance(*parts)


# The ball

hop_counts = st.integers(0, 3)


@given(pairs_of, hop_counts, st.integers(1, 3))
def test_layers_are_nested_and_end_with_the_targets(pairs, hops, k):
    graph = graph_of(pairs)
    targets = sorted(graph)[:2]
    needed = ball(graph, targets, hops, Sampling(k))
    assert len(needed) == hops + 1
    assert needed[hops] >= set(targets)
    assert all(above <= below for below, above in pairwise(needed))
    assert hops == 0 or needed[hops] == set(targets)


@given(pairs_of, hop_counts, st.integers(1, 3))
def test_what_a_needed_node_listens_to_is_in_the_layer_below(pairs, hops, k):
    graph, sampling = graph_of(pairs), Sampling(k)
    needed = ball(graph, sorted(graph)[:2], hops, sampling)
    for hop in range(1, hops + 1):
        for node in needed[hop]:
            assert set(neighbours(graph, node, hop, sampling)) <= needed[hop - 1]


@given(pairs_of, hop_counts, st.integers(1, 3))
def test_the_items_that_a_user_profile_reads_are_profiled(pairs, hops, k):
    graph, sampling = graph_of(pairs), Sampling(k)
    needed = ball(graph, sorted(graph)[-1:], hops, sampling)
    for node in needed[0]:
        if node.startswith("user:"):
            assert set(neighbours(graph, node, 0, sampling)) <= needed[0]


@given(pairs_of, hop_counts)
def test_the_ball_of_all_nodes_is_all_nodes_at_every_hop(pairs, hops):
    graph = graph_of(pairs)
    assert ball(graph, graph, hops, Sampling()) == (frozenset(graph),) * (hops + 1)


def test_the_ball_grows_by_one_step_a_hop_and_no_more():
    # A path: item:0 - user:0 - item:1 - user:1 - item:2.
    graph = graph_of([(0, 0), (0, 1), (1, 1), (1, 2)])
    assert ball(graph, ["item:0"], 1, Sampling()) == (
        {"item:0", "user:0", "item:1"},  # item:1 only because the profile of user:0 reads it
        {"item:0"},
    )
    assert ball(graph, ["item:0"], 2, Sampling()) == (
        {"item:0", "user:0", "item:1"},
        {"item:0", "user:0"},
        {"item:0"},
    )
