"""EASE against its definition, popularity by counting, text by its cosine."""

import numpy as np
import pytest
import torch

from errors import TrainingError
from tests import slow_formulas as slow
from tests.toy_graphs import pairs_of, toy
from training.baselines import ease, interactions, popularity, text_only
from training.graph import TrainGraph
from training.metrics import Pairs, evaluate

GRAPH = toy(users=30, items=12, density=0.3, cold_items=1)


def rated():
    board = np.zeros((30, 12))
    board[tuple(np.array(pairs_of(GRAPH)).T)] = 1
    return board


def scores(score, users=range(30)):
    return score(torch.tensor(list(users))).numpy()


@pytest.mark.parametrize("penalty", [0.5, 10.0, 400.0])
def test_ease_is_the_closed_form_of_steck(penalty):
    board = rated()
    inverse = np.linalg.inv(board.T @ board + penalty * np.eye(12))
    weights = np.zeros((12, 12))
    for i in range(12):
        for j in range(12):
            if i != j:
                weights[i, j] = -inverse[i, j] / inverse[j, j]
    np.testing.assert_allclose(scores(ease(GRAPH, penalty)), board @ weights, rtol=1e-4, atol=1e-6)


def test_ease_predicts_each_item_from_the_others_by_ridge_regression():
    board = rated()
    found = scores(ease(GRAPH, 5.0))
    for item in range(12):
        others = np.delete(board, item, axis=1)
        gram = others.T @ others + 5.0 * np.eye(11)
        weights = np.linalg.solve(gram, others.T @ board[:, item])
        np.testing.assert_allclose(found[:, item], others @ weights, rtol=1e-4, atol=1e-6)


def test_ease_scores_the_users_it_is_asked_for():
    score = ease(GRAPH, 5.0)
    np.testing.assert_array_equal(scores(score, [7, 2, 7]), scores(score)[[7, 2, 7]])


def test_ease_finds_what_goes_together():
    # Who takes item 0 takes 1, who takes 2 takes 3; the last user took 0 only.
    pairs = [*((u, i) for u in range(4) for i in (0, 1))]
    pairs += [*((u, i) for u in range(4, 8) for i in (2, 3)), (8, 0)]
    graph = TrainGraph.of(9, 4, *torch.tensor(pairs).unbind(1))
    train = Pairs.of(9, 4, graph.user_P, graph.item_P)
    truth = Pairs.of(9, 4, torch.tensor([8]), torch.tensor([1]))
    assert evaluate(ease(graph, 1.0), truth, [train], (1,))["recall@1"] == 1


def test_ease_without_a_penalty_is_refused_where_there_is_no_inverse():
    with pytest.raises(TrainingError, match="no inverse") as error:
        ease(GRAPH, 0.0)
    assert "--penalty" in error.value.hint


def test_popularity_scores_every_item_by_how_many_trained_on_it():
    expected = [sum(item == i for _, i in pairs_of(GRAPH)) for item in range(12)]
    found = scores(popularity(GRAPH), [3, 0])
    assert found.tolist() == [expected, expected]


def test_hiding_an_item_from_one_user_leaves_it_to_the_others():
    score = popularity(GRAPH)
    score(torch.tensor([0, 1]))[0] = -torch.inf
    assert np.isfinite(scores(score)).all()


def test_text_alone_scores_by_the_cosine_of_user_and_item():
    text_NT = torch.randn(42, 5, generator=torch.Generator().manual_seed(0))
    found = scores(text_only(GRAPH, text_NT), [4, 9])
    for place, user in enumerate((4, 9)):
        for item in range(12):
            expected = slow.cosine(text_NT[user], text_NT[30 + item])
            assert found[place, item] == pytest.approx(float(expected), abs=1e-6)


def test_interactions_are_a_matrix_of_ones_where_a_user_trained_on_an_item():
    np.testing.assert_array_equal(interactions(GRAPH).toarray(), rated())
