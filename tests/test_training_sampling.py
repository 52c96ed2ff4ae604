"""Triples: every pair once an epoch, and an item that the user did not take, each as likely."""

from collections import Counter

import pytest
import torch
from scipy import stats

from errors import DataError
from tests.toy_graphs import pairs_of, toy
from training.graph import TrainGraph
from training.sampling import Batch, Sampler


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def whole(sampler, size=7):
    """An epoch as one batch."""
    return Batch(*(torch.cat(parts) for parts in zip(*sampler.epoch(size), strict=True)))


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_an_epoch_holds_every_training_pair_once(size):
    graph = toy(cold_users=1, cold_items=2)
    found = whole(Sampler(graph), size)
    pairs = zip(found.users.tolist(), (found.liked - graph.users).tolist(), strict=True)
    assert sorted(pairs) == pairs_of(graph)
    assert len(Sampler(graph)) == len(found.users) == len(found.others)


def test_a_batch_has_the_size_asked_for_and_the_last_one_what_is_left():
    sampler = Sampler(toy())
    sizes = [len(batch.users) for batch in sampler.epoch(6)]
    assert sizes == [6] * (len(sampler) // 6) + [len(sampler) % 6] * (len(sampler) % 6 > 0)


def test_epochs_differ_in_order_and_in_the_other_items():
    sampler = Sampler(toy(users=30, items=20))
    first, second = whole(sampler), whole(sampler)
    assert not torch.equal(first.users, second.users)
    assert not torch.equal(
        first.others[first.users.argsort(stable=True)],
        second.others[second.users.argsort(stable=True)],
    )


def test_the_same_seed_draws_the_same_epoch():
    sampler = Sampler(toy())
    torch.manual_seed(5)
    first = whole(sampler)
    torch.manual_seed(5)
    assert all(map(torch.equal, first, whole(sampler)))


@pytest.mark.parametrize("density", [0.05, 0.4, 0.9])
def test_the_other_item_is_never_one_that_the_user_trained_on(density):
    graph = toy(users=25, items=18, density=density)
    taken, sampler = set(pairs_of(graph)), Sampler(graph)
    for _ in range(20):
        found = whole(sampler, 50)
        others = (found.others - graph.users).tolist()
        assert all(0 <= item < graph.items for item in others)
        assert not taken & set(zip(found.users.tolist(), others, strict=True))


@pytest.mark.parametrize("taken", [[0], [5], [0, 1, 2], [3, 4, 5], [0, 2, 4], [1, 2, 3, 4, 5]])
def test_the_other_item_is_uniform_over_what_the_user_did_not_take(taken):
    # The user in question stands between two others, so that looking up the wrong row would show.
    pairs = [(0, 1), (0, 4), *((1, item) for item in taken), (2, 0), (2, 3)]
    graph = TrainGraph.of(3, 6, *torch.tensor(pairs).unbind(1))
    drawn = Counter(Sampler(graph).others(torch.ones(6000, dtype=torch.long)).tolist())
    free = [item for item in range(6) if item not in taken]
    assert sorted(drawn) == free
    if len(free) > 1:
        assert stats.chisquare([drawn[item] for item in free]).pvalue > 1e-3


def test_a_user_who_took_every_item_shapes_the_graph_but_is_in_no_triple():
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (2, 0), (2, 2)]
    graph = TrainGraph.of(3, 3, *torch.tensor(pairs).unbind(1))
    found = whole(Sampler(graph))
    assert sorted(found.users.tolist()) == [1, 2, 2]
    assert len(Sampler(graph)) == 3
    assert graph.adjacency.degree_N[0] == 3


def test_a_user_without_a_training_pair_is_in_no_triple():
    graph = toy(cold_users=3)
    assert int(whole(Sampler(graph)).users.max()) < 4


def test_data_in_which_everyone_took_everything_is_refused():
    graph = TrainGraph.of(2, 2, torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(DataError, match="nothing to learn") as told:
        Sampler(graph)
    assert told.value.hint
