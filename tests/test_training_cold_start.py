"""What nodes without a training interaction are ranked with, under each alignment."""

import pytest
import torch

from tests import slow_formulas as slow
from tests.toy_graphs import toy
from training.alignments import ALIGNMENTS
from training.backbones.lightgcn import GCCF, LightGCN
from training.recommender import Recommender

pytestmark = pytest.mark.usefixtures("double")
USERS, ITEMS, TEXT, TAU = 7, 8, 5, 0.3
COLD = [5, 6, 7 + 6, 7 + 7]
WARM = [node for node in range(USERS + ITEMS) if node not in COLD]
SIDES = {"user": range(USERS), "item": range(USERS, USERS + ITEMS)}


@pytest.fixture
def graph():
    return toy(USERS, ITEMS, cold_users=2, cold_items=2)


def made(name, graph, body=LightGCN, hops=1, **options):
    torch.manual_seed(3)
    backbone = body(graph, body.Options(dim=4))
    text_HNT = torch.randn(hops, graph.nodes, TEXT)
    return ALIGNMENTS[name](text_HNT, backbone, ALIGNMENTS[name].Options(**options)).eval()


def encoded(width=4):
    return torch.randn(USERS + ITEMS, width, generator=torch.Generator().manual_seed(6))


def warm_of(node):
    side = SIDES["user" if node < USERS else "item"]
    return [other for other in side if other in WARM]


def test_without_text_a_cold_node_scores_nothing(graph):
    nodes = encoded()
    found = made("none", graph).settle(nodes)
    assert (found[COLD] == 0).all()
    assert torch.equal(found[WARM], nodes[WARM])


@pytest.mark.parametrize(("body", "width"), [(LightGCN, 4), (GCCF, 12)])
@pytest.mark.parametrize("hops", [1, 2])
def test_contrastive_places_a_cold_node_by_its_text_as_long_as_warm_ones_are(
    graph, body, width, hops
):
    model, nodes = made("contrastive", graph, body, hops), encoded(width)
    with torch.no_grad():
        found, z = model.settle(nodes), slow.mlp(model.project, model.text_NT)
    for node in COLD:
        mean = sum(nodes[other].norm() for other in warm_of(node)) / len(warm_of(node))
        torch.testing.assert_close(found[node], z[node] / slow.length(z[node]) * mean)
    assert torch.equal(found[WARM], nodes[WARM])


def test_contrastive_measures_users_and_items_each_by_their_own(graph):
    nodes = encoded()
    nodes[:USERS] *= 100
    with torch.no_grad():
        found = made("contrastive", graph).settle(nodes)
    assert found[5].norm() > 20 * found[COLD[-1]].norm()


@pytest.mark.parametrize("hops", [1, 2])
def test_generative_places_a_cold_node_at_the_mean_of_warm_ones_weighted_by_f(graph, hops):
    model, nodes = made("generative", graph, hops=hops, temperature=TAU), encoded()
    with torch.no_grad():
        found, guesses = model.settle(nodes), slow.mlp(model.rebuild, nodes)
    for node in COLD:
        f = [
            (slow.cosine(model.text_NT[node], guesses[other]) / TAU).exp()
            for other in warm_of(node)
        ]
        mean = sum(w * nodes[other] for w, other in zip(f, warm_of(node), strict=True)) / sum(f)
        torch.testing.assert_close(found[node], mean)
    assert torch.equal(found[WARM], nodes[WARM])


def test_generative_leaves_what_it_was_given_as_it_was(graph):
    nodes = encoded()
    before = nodes.clone()
    with torch.no_grad():
        made("generative", graph).settle(nodes)
    assert torch.equal(nodes, before)


def test_fusion_has_nothing_left_to_place(graph):
    nodes = encoded()
    assert made("fusion", graph).settle(nodes) is nodes


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_a_cold_node_without_a_text_is_placed_nowhere(graph, name):
    torch.manual_seed(0)
    backbone = LightGCN(graph, LightGCN.Options(dim=4))
    text_HNT = torch.randn(2, graph.nodes, 5)
    silent, cold = [0, COLD[0]], COLD[0]
    text_HNT[:, silent] = 0
    model = Recommender(
        backbone, ALIGNMENTS[name](text_HNT, backbone, ALIGNMENTS[name].Options()), decay=0.0
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1
    placed = (model.embed() != 0).any(-1)
    assert not placed[cold] and placed[0]
    assert placed[COLD[1]] == (name != "none")


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_where_every_node_is_warm_nothing_is_changed(name):
    nodes = encoded()
    with torch.no_grad():
        assert torch.equal(made(name, toy(USERS, ITEMS)).settle(nodes), nodes)


@pytest.mark.parametrize("name", ["contrastive", "generative", "fusion"])
def test_cold_nodes_with_the_same_text_are_ranked_with_the_same_embedding(graph, name):
    model = made(name, graph)
    model.text_HNT[0, 5] = model.text_HNT[0, 6]
    backbone = LightGCN(graph, LightGCN.Options(dim=4))
    found = Recommender(backbone, model, decay=0.0).embed()
    torch.testing.assert_close(found[5], found[6])
    assert not torch.allclose(found[5], found[13])
