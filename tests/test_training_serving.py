"""Recommendations, neighbours and reasons on an example small enough to work out by hand.

Users a, b, c (0, 1, 2) and items 0 to 4 in a plane. a took items 0 and 1, b took 0, 1 and 2,
c took 1 and 3; nobody took 4.
"""

import numpy as np
import pytest

from training.serving import Trained, nearest, reasons, recommended

USERS = [[1, 0], [3, 4], [0, 2]]
ITEMS = [[2, 0], [0, 1], [3, 3], [-1, 1], [5, 0]]
TRAIN = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 3)]


@pytest.fixture
def trained():
    nodes = np.array([*USERS, *ITEMS], dtype=np.float32)
    return Trained(3, nodes, np.array(TRAIN, dtype=np.int64))


def test_the_best_items_that_a_user_did_not_take_come_first(trained):
    assert trained.items == 5
    assert recommended(trained, 0, 2) == [(4, 5), (2, 3)]
    assert recommended(trained, 1, 10) == [(4, 15), (3, 1)]


def test_of_equal_scores_the_item_that_stands_first_comes_first(trained):
    # For user 2 items 0 and 4 both score 0.
    assert recommended(trained, 2, 10) == [(2, 6), (0, 0), (4, 0)]


def test_a_user_who_took_everything_gets_nothing():
    nodes = np.ones((3, 2), dtype=np.float32)
    both = Trained(1, nodes, np.array([(0, 0), (0, 1)], dtype=np.int64))
    assert recommended(both, 0, 5) == []


def test_a_user_without_training_items_is_recommended_any_item(trained):
    cold = Trained(3, trained.nodes_ND, trained.train_P2[:5])
    assert len(recommended(cold, 2, 10)) == 5


def test_what_was_trained_is_not_changed_by_asking(trained):
    before = trained.nodes_ND.copy()
    recommended(trained, 0, 2), reasons(trained, 0, 2, 3), nearest(trained.nodes_ND, 0, 2)
    assert np.array_equal(trained.nodes_ND, before)


def test_the_nearest_rows_are_those_of_the_highest_cosine_without_the_row_itself():
    rows = np.array(ITEMS, dtype=np.float32)
    found = nearest(rows, 0, 10)
    assert [row for row, _ in found] == [4, 2, 1, 3]
    assert [cosine for _, cosine in found] == pytest.approx([1, 0.5**0.5, 0, -(0.5**0.5)])
    assert nearest(rows, 0, 1) == found[:1]


def test_a_row_of_zeros_is_near_to_nothing():
    rows = np.array([[1, 0], [0, 0], [-1, 0]], dtype=np.float32)
    assert nearest(rows, 0, 2) == [(1, 0), (2, -1)]


def test_an_items_reasons_are_its_score_its_rank_and_the_users_own_items_near_it(trained):
    found = reasons(trained, 0, 2, 3)
    # Item 4 scores 5, item 2 scores 3, item 3 scores -1: second of what user 0 has not taken.
    assert (found.score, found.rank, found.taken) == (3, 2, False)
    assert [item for item, _ in found.nearest] == [0, 1]
    assert [cosine for _, cosine in found.nearest] == pytest.approx([0.5**0.5, 0.5**0.5])


def test_a_path_leads_through_another_user_who_took_the_item_and_shares_one(trained):
    (path,) = reasons(trained, 0, 2, 3).paths
    # Items 0 and 1 are as near to item 2; users 0 and 1 have a cosine of 3/5.
    assert path.liked in (0, 1) and path.other == 1
    assert path.strength == pytest.approx(0.6 * 0.5**0.5)


def test_the_shared_item_of_a_path_is_the_one_nearest_to_the_item(trained):
    # User 2 took item 3, and shares item 1 with users 0 and 1.
    for user, cosine in ((0, 0.0), (1, 0.8)):
        (path,) = reasons(trained, user, 3, 3).paths
        assert (path.liked, path.other) == (1, 2)
        assert path.strength == pytest.approx(cosine * 0.5**0.5, abs=1e-7)


def test_paths_come_strongest_first_and_no_more_than_asked_for(trained):
    train = np.array([*TRAIN, (1, 4), (2, 4)], dtype=np.int64)
    more = Trained(3, trained.nodes_ND, train)
    paths = reasons(more, 0, 4, 3).paths
    # Through user 1 by item 0 (0.6 · 1); through user 2 by item 1 (0 · 0).
    assert [(p.liked, p.other) for p in paths] == [(0, 1), (1, 2)]
    assert [p.strength for p in paths] == pytest.approx([0.6, 0])
    assert reasons(more, 0, 4, 1).paths == paths[:1]


def test_an_item_that_nobody_took_has_no_path(trained):
    assert reasons(trained, 0, 4, 3).paths == []


def test_an_item_that_the_user_took_says_so_and_is_no_reason_for_itself(trained):
    found = reasons(trained, 1, 0, 1)
    # It scores 6; items 4 and 3, which user 1 did not take, score 15 and 1.
    assert found.taken and found.rank == 2 and found.score == 6
    assert [item for item, _ in found.nearest] == [2]
    assert all(path.other != 1 and path.liked != 0 for path in found.paths)


def test_a_user_without_training_items_has_no_reason_but_the_score(trained):
    cold = Trained(3, trained.nodes_ND, trained.train_P2[:5])
    found = reasons(cold, 2, 2, 3)
    assert (found.score, found.rank) == (6, 1)
    assert found.nearest == [] and found.paths == []
