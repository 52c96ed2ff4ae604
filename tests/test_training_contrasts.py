"""The loss terms that a backbone has of its own: ranking, and views told from each other."""

import pytest
import torch

from tests import slow_formulas as slow
from tests.toy_graphs import batch_of, toy
from training.backbones import BACKBONES
from training.backbones.base import Encoded

pytestmark = pytest.mark.usefixtures("double")
USERS, ITEMS, WEIGHT, TAU = 7, 6, 0.3, 0.25


@pytest.fixture
def graph():
    return toy(USERS, ITEMS)


@pytest.fixture
def batch(graph):
    found = batch_of(graph)
    for rows in found:
        assert len(rows.unique()) < len(rows)
    return found


def made(name, graph, **options):
    body = BACKBONES[name]
    return body(graph, body.Options(dim=4, **options))


def table(seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(USERS + ITEMS, 4, generator=random).requires_grad_()


def sides(view):
    return view[:USERS], view[USERS:]


@pytest.mark.parametrize("name", ["lightgcn", "gccf", "sgl", "simgcl", "dccf"])
def test_ranking_is_bpr_averaged_over_the_batch(graph, batch, name):
    nodes, views = table(1), (table(2), table(3))
    if name == "dccf":
        views = tuple(table(seed) for seed in range(2, 6))
    terms = made(name, graph).losses(Encoded(nodes, views), batch)
    expected = slow.bpr(nodes[batch.users], nodes[batch.liked], nodes[batch.others])
    slow.agree(terms["rank"], expected, [nodes])


@pytest.mark.parametrize("name", ["lightgcn", "gccf"])
def test_lightgcn_and_gccf_have_no_term_besides_ranking(graph, batch, name):
    assert list(made(name, graph).losses(Encoded(table(1)), batch)) == ["rank"]


def test_sgl_contrasts_users_liked_and_other_items_with_all_nodes_of_their_side(graph, batch):
    model = made("sgl", graph, weight=WEIGHT, temperature=TAU)
    one, two = table(1), table(2)
    all_users, all_items = sides(two)
    total = slow.info_nce(one[batch.users], two[batch.users], all_users, TAU)
    for rows in (batch.liked, batch.others):
        total = total + slow.info_nce(one[rows], two[rows], all_items, TAU)
    terms = model.contrast(Encoded(table(3), (one, two)), batch)
    slow.agree(terms["contrast"], WEIGHT * total / len(batch.users), [one, two])


def test_simgcl_contrasts_users_and_liked_items_only(graph, batch):
    model = made("simgcl", graph, weight=WEIGHT, temperature=TAU)
    one, two = table(1), table(2)
    all_users, all_items = sides(two)
    total = slow.info_nce(one[batch.users], two[batch.users], all_users, TAU)
    total = total + slow.info_nce(one[batch.liked], two[batch.liked], all_items, TAU)
    terms = model.contrast(Encoded(table(3), (one, two)), batch)
    slow.agree(terms["contrast"], WEIGHT * total / len(batch.users), [one, two])


def test_dccf_contrasts_distinct_rows_of_the_batch_and_divides_by_the_distinct_users(graph, batch):
    model = made("dccf", graph, layers=2, weight=WEIGHT, temperature=TAU)
    views = tuple(table(seed) for seed in range(8))
    users = sorted(set(batch.users.tolist()))
    liked = sorted(set(batch.liked.tolist()))
    total = torch.zeros(())
    for layer in range(2):
        local = views[4 * layer]
        for part in views[4 * layer + 1 : 4 * layer + 4]:
            for rows in (users, liked):
                total = total + slow.info_nce(local[rows], part[rows], part[rows], TAU)
    terms = model.contrast(Encoded(table(9), views), batch)
    slow.agree(terms["contrast"], WEIGHT * total / len(users), views)


def test_autocf_rebuilds_liked_pairs_and_tells_users_from_all_items(graph, batch):
    nodes = table(1)
    terms = made("autocf", graph, heads=2, weight=WEIGHT).losses(Encoded(nodes), batch)
    pairs = zip(batch.users.tolist(), batch.liked.tolist(), strict=True)
    rebuilt = torch.stack([-(nodes[u] @ nodes[i]) for u, i in pairs]).mean()
    apart = slow.mean_log_partition(nodes[batch.users], sides(nodes)[1])
    slow.agree(terms["rank"], rebuilt + apart, [nodes])


def test_autocf_tells_distinct_nodes_of_the_batch_from_all_of_their_side(graph, batch):
    nodes = table(1)
    terms = made("autocf", graph, heads=2, weight=WEIGHT).losses(Encoded(nodes), batch)
    all_users, all_items = sides(nodes)
    users = slow.mean_log_partition(nodes[batch.users.unique()], all_users)
    liked = slow.mean_log_partition(nodes[batch.liked.unique()], all_items)
    slow.agree(terms["contrast"], WEIGHT * (users + liked), [nodes])
    assert list(terms) == ["rank", "contrast"]


def test_autocf_has_no_use_for_other_items(graph, batch):
    model, nodes = made("autocf", graph, heads=2), table(1)
    turned = batch._replace(others=batch.others.flip(0))
    losses = [model.losses(Encoded(nodes), one) for one in (batch, turned)]
    assert losses[0] == losses[1]
    assert not model.ranks_against_others
    assert all(body.ranks_against_others for n, body in BACKBONES.items() if n != "autocf")


@pytest.mark.parametrize("name", ["sgl", "simgcl", "dccf", "autocf"])
def test_the_weight_multiplies_the_methods_own_term_once(graph, batch, name):
    views = tuple(table(seed) for seed in range(2, 6 if name == "dccf" else 4))
    encoded = Encoded(table(1), views)
    one, ten = (made(name, graph, weight=w).losses(encoded, batch) for w in (1.0, 10.0))
    torch.testing.assert_close(ten["contrast"], 10 * one["contrast"])
    torch.testing.assert_close(ten["rank"], one["rank"])
