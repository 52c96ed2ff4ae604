"""Recall and NDCG against ranx and against loops; who is hidden, who counts, what a chunk does."""

import math

import pytest
import torch

from training import metrics
from training.metrics import CUTOFFS, Pairs, evaluate, hits, measured, top_items

USERS, ITEMS = 40, 50


def draw(density, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.rand(USERS, ITEMS, generator=random) < density


def pairs(board):
    return Pairs.of(*board.shape, *board.nonzero().unbind(1))


@pytest.fixture
def parts():
    """Train, val and test as disjoint boards. Users 0 to 4 have nothing in the test."""
    where = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(3))
    train, val, test = where < 0.2, (where >= 0.2) & (where < 0.3), where > 0.85
    test[:5] = False
    return train, val, test


@pytest.fixture
def scores():
    """Random, so without ties."""
    return torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(4))


def reading(scores):
    return lambda users_b: scores[users_b].clone()


def slow_metrics(scores, truth, hidden, k):
    """Means over users with a true item, by sorting."""
    recalls, gains = [], []
    for user in range(USERS):
        true = set(truth[user].nonzero().flatten().tolist())
        if not true:
            continue
        candidates = [item for item in range(ITEMS) if not hidden[user, item]]
        best = sorted(candidates, key=lambda item: -float(scores[user, item]))[:k]
        found = [item in true for item in best]
        recalls.append(sum(found) / len(true))
        ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(true))))
        gains.append(sum(hit / math.log2(place + 2) for place, hit in enumerate(found)) / ideal)
    return sum(recalls) / len(recalls), sum(gains) / len(gains)


@pytest.mark.parametrize("k", CUTOFFS)
def test_metrics_are_those_of_a_loop_over_users(parts, scores, k):
    train, _, test = parts
    found = evaluate(reading(scores), pairs(test), [pairs(train)])
    recall, ndcg = slow_metrics(scores, test, train, k)
    assert found[f"recall@{k}"] == pytest.approx(recall, rel=1e-12)
    assert found[f"ndcg@{k}"] == pytest.approx(ndcg, rel=1e-12)


def test_metrics_are_those_of_ranx(parts, scores, monkeypatch):
    import numba

    # ranx compiles for half a minute what it then does in a millisecond.
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    from ranx import Qrels, Run
    from ranx import evaluate as ranx_evaluate

    train, _, test = parts
    found = evaluate(reading(scores), pairs(test), [pairs(train)])
    users = test.any(1).nonzero().flatten().tolist()
    qrels = {f"u{u}": {f"i{i}": 1 for i in range(ITEMS) if test[u, i]} for u in users}
    run = {
        f"u{u}": {f"i{i}": float(scores[u, i]) for i in range(ITEMS) if not train[u, i]}
        for u in users
    }
    names = [f"{name}@{k}" for name in ("recall", "ndcg") for k in CUTOFFS]
    theirs = ranx_evaluate(Qrels(qrels), Run(run), names)
    assert found == pytest.approx({name: float(theirs[name]) for name in names}, rel=1e-9)
    assert list(found) == names


def test_a_perfect_ranking_measures_one_where_the_cutoff_holds_all_true_items(parts):
    _, _, test = parts
    found = evaluate(reading(test.float()), pairs(test), [], (ITEMS,))
    assert found == {f"recall@{ITEMS}": 1, f"ndcg@{ITEMS}": 1}


def test_the_ideal_of_ndcg_holds_no_more_items_than_the_cutoff():
    hits_UK, true_U = torch.ones(1, 5, dtype=torch.bool), torch.tensor([30])
    found = measured(hits_UK, true_U, (5,))
    assert found["ndcg@5"].tolist() == pytest.approx([1])
    assert found["recall@5"].tolist() == [5 / 30]


def test_training_items_are_not_recommended(parts, scores):
    train, _, _ = parts
    users = torch.arange(USERS)
    for users_b, items_bK, _ in top_items(reading(scores), users, 20, ITEMS, [pairs(train)]):
        assert not train[users_b.unsqueeze(1), items_bK].any()


def test_validation_items_are_recommended_unless_they_are_hidden_too(parts, scores):
    train, val, test = parts
    scores = scores + val.float()
    kept = evaluate(reading(scores), pairs(test), [pairs(train)])
    masked = evaluate(reading(scores), pairs(test), [pairs(train), pairs(val)])
    assert masked["recall@5"] == pytest.approx(slow_metrics(scores, test, train | val, 5)[0])
    assert kept["recall@5"] < masked["recall@5"]


def test_users_without_a_true_item_do_not_count(parts, scores):
    train, _, test = parts
    found, true_U = hits(reading(scores), pairs(test), [pairs(train)], 20)
    assert len(found) == len(true_U) == int(test.any(1).sum()) == 35
    assert true_U.tolist() == test.sum(1)[test.any(1)].tolist()


@pytest.mark.parametrize("held", [1, 3 * ITEMS, 7 * ITEMS + 1])
def test_the_size_of_a_chunk_changes_nothing(parts, scores, monkeypatch, held):
    train, _, test = parts
    whole = evaluate(reading(scores), pairs(test), [pairs(train)])
    monkeypatch.setattr(metrics, "CHUNK_CPU", held)
    assert evaluate(reading(scores), pairs(test), [pairs(train)]) == whole


def test_the_cutoff_may_exceed_the_number_of_items():
    truth = Pairs.of(2, 3, torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1]))
    scores = torch.tensor([[0.1, 0.2, 0.9], [0.9, 0.1, 0.5]])
    found = evaluate(reading(scores), truth, [])
    assert found["recall@20"] == 1
    assert found["ndcg@20"] == pytest.approx((1 + 1.5 / (1 + 1 / math.log2(3))) / 2)


def test_the_best_items_come_in_order_with_their_scores(scores):
    ((users_b, items_bK, best_bK),) = top_items(reading(scores), torch.tensor([7, 2]), 5, ITEMS)
    assert users_b.tolist() == [7, 2]
    for user, items, best in zip((7, 2), items_bK.tolist(), best_bK.tolist(), strict=True):
        assert items == sorted(range(ITEMS), key=lambda item: -float(scores[user, item]))[:5]
        assert best == scores[user, items].tolist()


# Pairs


def test_pairs_are_found_by_user_in_any_order(parts):
    board = parts[0]
    place, items = pairs(board).of_users(torch.tensor([9, 0, 9]))
    expected = [
        (place, item)
        for place, user in enumerate((9, 0, 9))
        for item in board[user].nonzero().flatten().tolist()
    ]
    assert list(zip(place.tolist(), items.tolist(), strict=True)) == expected


def test_whether_a_pair_is_held_is_told_for_every_user_and_item(parts):
    users = torch.arange(USERS).unsqueeze(1).expand(USERS, ITEMS)
    items = torch.arange(ITEMS).expand(USERS, ITEMS)
    assert torch.equal(pairs(parts[0]).hold(users, items), parts[0])


def test_no_pairs_hold_nothing():
    nothing = Pairs.of(2, 2, *torch.empty(2, 0, dtype=torch.long))
    ones = torch.ones(3, 1, dtype=torch.long)
    assert not nothing.hold(ones, ones).any()
    assert nothing.count_U.tolist() == [0, 0]
