"""What AutoCF hides, what its decoder reads and whom it takes for seeds, by loops over sets."""

import math
from itertools import pairwise

import pytest
import torch

from tests import slow_formulas as slow
from tests.toy_graphs import batch_of, pairs_of, toy
from training.alignments import Alignment
from training.backbones.autocf import AutoCF
from training.recommender import Recommender

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def graph():
    return toy(users=12, items=14, density=0.15, cold_users=1, cold_items=1)


def made(graph, **options):
    torch.manual_seed(3)
    given = {"dim": 4, "layers": 2, "heads": 2, "seeds": 2, **options}
    return AutoCF(graph, AutoCF.Options(**given))


def edges(graph):
    """Each edge once, as a set of its two ends, items shifted by the users."""
    return {frozenset((user, graph.users + item)) for user, item in pairs_of(graph)}


def entries(adjacency):
    return set(zip(adjacency.row_E.tolist(), adjacency.col_E.tolist(), strict=True))


def hidden(graph, seeds, depth):
    """Edges that are left, and touched nodes: hop by hop, over edges that are not hidden yet."""
    left, frontier, touched = edges(graph), set(seeds), set(seeds)
    for hop in range(depth):
        gone = {edge for edge in left if edge & frontier}
        left -= gone
        if hop < depth - 1:
            frontier = set().union(*gone)
            touched |= frontier
    return left, touched


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("seeds", [[0], [3, 20], [11], [2, 5, 13, 25]])
def test_edges_within_depth_hops_of_a_seed_are_hidden(graph, seeds, depth):
    visible, touched_N = made(graph, depth=depth).hide(torch.tensor(seeds))
    left, touched = hidden(graph, seeds, depth)
    assert entries(visible) == {pair for edge in left for pair in (tuple(edge), tuple(edge)[::-1])}
    assert set(touched_N.nonzero().flatten().tolist()) == touched


def test_what_is_left_is_normalised_by_the_degrees_that_are_left(graph):
    model = made(graph)
    model.begin_step(0)
    dense = torch.zeros(graph.nodes, graph.nodes)
    dense[model.visible.row_E, model.visible.col_E] = 1
    expected = slow.normalised(dense)[model.visible.row_E, model.visible.col_E]
    torch.testing.assert_close(model.visible_E, expected)


def test_the_decoder_reads_visible_edges_loops_and_random_pairs_of_touched_nodes(graph):
    model = made(graph, share=0.2)
    model.visible, touched_N = model.hide(torch.tensor([4]))
    torch.manual_seed(7)
    found = model.decoded(touched_N)
    torch.manual_seed(7)
    drawn = torch.randint(graph.nodes, (int(26 * 0.2),)).tolist()
    pool = sorted({*touched_N.nonzero().flatten().tolist(), *drawn})
    count = 2 * len(edges(graph))
    left, right = ([pool[n] for n in torch.randint(len(pool), (count,))] for _ in range(2))
    random = set(zip(left, right, strict=True)) | set(zip(right, left, strict=True))
    loops = {(node, node) for node in range(graph.nodes)}
    assert entries(found) == entries(model.visible) | loops | random


def test_the_decoders_graph_holds_no_entry_twice(graph):
    model = made(graph)
    model.begin_step(0)
    assert len(entries(model.decoder)) == len(model.decoder.row_E)


def explained(graph, ego):
    """log σ(cos(neighbourhood, node)) by the reference code's arithmetic, as if with self-loops."""
    around = slow.adjacency(graph.users, graph.items, pairs_of(graph))
    neighbours = [row.nonzero().flatten().tolist() for row in around]
    degree = [len(others) for others in neighbours]
    near = [sum((ego[w] for w in neighbours[v]), -ego[v]) for v in range(graph.nodes)]
    scores = []
    for v in range(graph.nodes):
        far = sum((near[w] for w in neighbours[v]), -near[v]) - degree[v] * ego[v]
        far_count = sum(degree[w] for w in neighbours[v]) - degree[v] - degree[v]
        centre = (near[v] + far) / (degree[v] + far_count + 1e-8)
        lengths = centre.norm().clamp(min=1e-12) * ego[v].norm().clamp(min=1e-12)
        scores.append(torch.sigmoid(centre @ ego[v] / lengths).log())
    return torch.stack(scores)


def test_how_well_a_neighbourhood_explains_its_node_is_told_with_gumbel_noise(graph):
    model = made(graph)
    torch.manual_seed(7)
    found = model.explained()
    torch.manual_seed(7)
    noise = [-math.log(-math.log(draw)) for draw in torch.rand(graph.nodes).tolist()]
    expected = explained(graph, model.ego_Nd) + torch.tensor(noise)
    slow.agree(slow.weighed(found), slow.weighed(expected), [model.ego_Nd])


@pytest.mark.parametrize("draw", [0.0, 1.0])
def test_the_noise_of_the_most_extreme_draw_is_a_number(graph, monkeypatch, draw):
    torch.set_default_dtype(torch.float32)
    model = made(toy())
    monkeypatch.setattr(torch, "rand_like", lambda rows: torch.full_like(rows, draw))
    assert model.explained().isfinite().all()


def test_the_best_explained_nodes_are_the_seeds(graph, monkeypatch):
    model, asked = made(graph, seeds=3), []
    hide = model.hide
    monkeypatch.setattr(model, "hide", lambda seeds: (asked.extend(seeds.tolist()), hide(seeds))[1])
    model.begin_step(0)
    best = sorted(range(graph.nodes), key=lambda node: -model.explained_N[node].item())
    assert sorted(asked) == sorted(best[:3])


def test_a_graph_of_fewer_nodes_than_seeds_makes_seeds_of_all(graph):
    model = made(graph, seeds=100)
    model.begin_step(0)
    assert len(model.visible_E) == 0
    assert model(model.ego_Nd, lambda _, hop: (hop, hop)).nodes_ND.isfinite().all()


def test_seeds_are_drawn_anew_every_refresh_steps_and_told_of_only_then(graph):
    model, batch = made(graph, refresh=3), batch_of(graph)
    recommender = Recommender(
        model, Alignment(torch.zeros(1, 26, 1), model, Alignment.Options()), 0
    )
    decoders, told = [], []
    for step in range(7):
        told.append("infomax" in recommender.losses(batch, step))
        decoders.append(model.decoder)
    assert told == [True, False, False, True, False, False, True]
    same = [one is then for one, then in pairwise(decoders)]
    assert same == [True, True, False, True, True, False]


def test_the_infomax_term_is_minus_the_mean_score_noise_included(graph):
    model, batch = made(graph), batch_of(graph)
    recommender = Recommender(
        model, Alignment(torch.zeros(1, 26, 1), model, Alignment.Options()), 0
    )
    torch.manual_seed(7)
    term = recommender.losses(batch, 0)["infomax"]
    torch.manual_seed(7)
    slow.agree(term, -model.explained().mean(), [model.ego_Nd])
