"""The approximate lists: their recall is measured, what was trained on is left out, one index."""

import sys

import numpy as np
import pytest

from tests.worlds import make
from training import serving
from training.ann import DEPTH, ENOUGH, made, opened
from training.serving import Trained, recommended

QUICK = ("--epochs", "4", "--batch", "64", "--json")


def catalogue(items=20_000, users=300, width=16, seed=0):
    """Users and items in clusters; items of very different lengths, as popular ones are longer."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(50, width))
    items_ID = centres[random.integers(50, size=items)] + random.normal(size=(items, width)) / 2
    items_ID *= random.pareto(3, size=(items, 1)).clip(max=5) + 0.2
    users_UD = centres[random.integers(50, size=users)] + random.normal(size=(users, width)) / 2
    return items_ID.astype(np.float32), users_UD.astype(np.float32)


@pytest.fixture(scope="module")
def searched():
    items_ID, users_UD = catalogue()
    return items_ID, users_UD, made(items_ID, users_UD)


def exact(items_ID, query_D, count):
    return np.argsort(-(items_ID @ query_D), kind="stable")[:count].tolist()


def test_the_recall_that_is_told_is_that_of_users_who_were_not_asked(searched):
    items_ID, _, index = searched
    others = catalogue(users=900)[1][300:]
    shares = []
    for query_D in others:
        rows = {row for row, _ in index.best(query_D, DEPTH, np.empty(0, dtype=np.int64))}
        shares.append(len(rows & set(exact(items_ID, query_D, DEPTH))) / DEPTH)
    assert ENOUGH - 0.05 < index.recall <= 1
    assert np.mean(shares) == pytest.approx(index.recall, abs=0.03)


def test_most_of_the_lists_are_not_looked_into(searched):
    assert searched[2].faiss.nprobe < searched[2].faiss.nlist / 2


def test_what_is_hidden_is_left_out_and_the_list_is_as_long_as_asked(searched):
    items_ID, users_UD, index = searched
    best = exact(items_ID, users_UD[0], 500)
    hidden = np.array(best[:400])
    found = index.best(users_UD[0], 10, hidden)
    assert len(found) == 10 and not {row for row, _ in found} & set(hidden.tolist())
    assert len({row for row, _ in found} & set(best[400:410])) >= 8
    assert [score for _, score in found] == sorted((s for _, s in found), reverse=True)
    for row, score in found:
        assert score == pytest.approx(float(items_ID[row] @ users_UD[0]), rel=1e-4)


def test_hidden_items_that_fill_the_lists_looked_into_do_not_shorten_the_answer(searched):
    items_ID, users_UD, index = searched
    hidden = np.array(exact(items_ID, users_UD[0], 15_000))
    found = index.best(users_UD[0], 100, hidden)
    assert len(found) == 100 and not {row for row, _ in found} & set(hidden.tolist())


def test_a_small_catalogue_is_searched_exactly():
    items_ID, users_UD = catalogue(items=30, users=3)
    index = made(items_ID, users_UD)
    assert index.recall == 1
    found = [row for row, _ in index.best(users_UD[0], 30, np.array([4]))]
    assert found == [row for row in exact(items_ID, users_UD[0], 30) if row != 4]


def test_an_index_is_made_once_and_anew_for_another_training(tmp_path):
    items_ID, users_UD = catalogue(items=500)
    path = tmp_path / "items.faiss"
    first = opened(path, "one", items_ID, users_UD)
    stamp = path.stat().st_mtime_ns
    again = opened(path, "one", items_ID[::-1], users_UD)
    assert path.stat().st_mtime_ns == stamp and again.recall == first.recall
    nobody = np.empty(0, dtype=np.int64)
    assert again.best(users_UD[1], 5, nobody) == first.best(users_UD[1], 5, nobody)
    other = opened(path, "two", items_ID[::-1].copy(), users_UD)
    assert path.stat().st_mtime_ns != stamp
    (before, _), (after, _) = (one.best(users_UD[1], 1, nobody)[0] for one in (first, other))
    assert after == 499 - before


# Exact search, piece by piece


@pytest.mark.parametrize("piece", [1, 3, 10, 1000])
def test_a_catalogue_in_pieces_has_the_same_best_in_the_same_order(monkeypatch, piece):
    random = np.random.default_rng(0)
    nodes = random.integers(-2, 3, size=(1 + 97, 3)).astype(np.float32)  # many equal scores
    taken = np.array([(0, 5), (0, 60), (0, 96)])
    trained = Trained(1, nodes, taken)
    monkeypatch.setattr(serving, "PIECE", piece)
    scores = nodes[1:] @ nodes[0]
    order = [i for i in np.argsort(-scores, kind="stable").tolist() if i not in {5, 60, 96}]
    for count in (1, 8, 94, 200):
        assert [item for item, _ in recommended(trained, 0, count)] == order[:count]


# The verbs


def test_the_verbs_tell_the_recall_and_leave_out_what_the_user_took(cli, tmp_path):
    place = ["--data", make(tmp_path / "data"), "--json"]
    cli("train", *place, *QUICK)
    for words in (["recommend", "u3"], ["similar", "i4"]):
        exactly, nearly = (cli(*words, *place, *flag).summary for flag in ([], ["--ann"]))
        assert nearly["approximate"] is True and nearly["recall@20_of_exact"] == 1.0
        assert "approximate" not in exactly
        assert [x["id"] for x in nearly["items"]] == [x["id"] for x in exactly["items"]]


def test_without_faiss_the_extra_is_named(monkeypatch):
    from errors import UsageError

    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UsageError, match="not installed") as error:
        made(*catalogue(items=50))
    assert "[ann]" in error.value.hint
