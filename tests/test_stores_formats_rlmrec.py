"""Import of RLMRec's folders: matrices, mappers, row numbers, and what is wrong with them."""

import json
import pickle

import numpy as np
import pytest
from scipy.sparse import coo_matrix

from errors import DataError
from stores.arrays import load_arrays
from stores.datasets import read_split
from stores.embeddings_file import read_embeddings
from stores.formats.importing import import_data
from stores.formats.layout import read_source

PAIRS = {"trn": [(0, 0), (1, 2), (2, 1)], "val": [(0, 1)], "tst": [(1, 0), (2, 2)]}


def matrix(pairs, shape=(3, 3)):
    rows, columns = np.array(pairs).T
    return coo_matrix((np.ones(len(pairs)), (rows, columns)), shape=shape)


def dump(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value))


def mapper(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


USERS = [
    {"uid": 2, "reviewerID": "A2"},
    {"uid": 0, "reviewerID": "A0"},
    {"uid": 1, "reviewerID": 7},
]
ITEMS = [{"iid": row, "asin": asin} for row, asin in enumerate(("0373", "B01", "B02"))]


@pytest.fixture
def theirs(tmp_path):
    """A checkout of RLMRec: data/amazon beside data/mapper."""
    folder = tmp_path / "data" / "amazon"
    for part, pairs in PAIRS.items():
        dump(folder / f"{part}_mat.pkl", matrix(pairs))
    mapper(tmp_path / "data/mapper/amazon_user.json", USERS)
    mapper(tmp_path / "data/mapper/amazon_item.json", ITEMS)
    return folder


def test_their_layout_is_imported_with_ids_and_split(theirs, tmp_path):
    report = import_data(theirs, tmp_path / "out")
    assert (report.users, report.items, report.interactions) == (3, 3, 6)
    assert read_split(tmp_path / "out", tmp_path / "home", 0) == {
        "train": [("7", "B02"), ("A0", "0373"), ("A2", "B01")],
        "val": [("A0", "B01")],
        "test": [("7", "0373"), ("A2", "B02")],
    }


def test_row_numbers_stay_with_users_and_items(theirs, tmp_path):
    import_data(theirs, tmp_path / "out")
    source = read_source(tmp_path / "out")
    assert {id: one.texts for id, one in source.users.items()} == {
        "A0": {"uid": "0"}, "7": {"uid": "1"}, "A2": {"uid": "2"},
    }  # fmt: skip
    assert source.items["B01"].texts == {"iid": "1"}


def test_mappers_beside_the_matrices_come_first(theirs, tmp_path):
    mapper(theirs / "my_user.json", [{"uid": row, "user_id": f"mine{row}"} for row in range(3)])
    import_data(theirs, tmp_path / "out")
    assert set(read_source(tmp_path / "out").users) == {"mine0", "mine1", "mine2"}


def test_without_a_mapper_row_numbers_are_ids(theirs, tmp_path):
    (theirs.parent / "mapper" / "amazon_user.json").unlink()
    import_data(theirs, tmp_path / "out")
    source = read_source(tmp_path / "out")
    assert set(source.users) == {"0", "1", "2"} and "B01" in source.items


def test_what_is_zero_is_no_interaction_and_csr_is_read_too(theirs, tmp_path):
    found = coo_matrix(([1.0, 0.0, 3.0], ([0, 1, 2], [0, 2, 1])), shape=(3, 3))
    dump(theirs / "trn_mat.pkl", found.tocsr())
    assert import_data(theirs, tmp_path / "out").splits == {"train": 2, "val": 1, "test": 2}


def test_embeddings_in_row_order_find_their_nodes(theirs, tmp_path):
    import_data(theirs, tmp_path / "out")
    arrays = load_arrays(tmp_path / "out", tmp_path / "home", 0)
    for name, start in (("usr", 0), ("itm", 10)):
        rows = np.arange(start, start + 3, dtype=np.float64)
        dump(theirs / f"{name}_emb_np.pkl", np.stack([rows, rows], axis=1))
    found = read_embeddings(theirs, tmp_path / "out", arrays)
    assert arrays.nodes[:3] == ["user:7", "user:A0", "user:A2"]
    assert found[:, 0].tolist() == [1, 0, 2, 10, 11, 12]


def test_without_a_mapper_embeddings_find_ids_that_are_row_numbers(theirs, tmp_path):
    for kind in ("user", "item"):
        (theirs.parent / "mapper" / f"amazon_{kind}.json").unlink()
    dump(theirs / "trn_mat.pkl", matrix([(2, 0), (0, 2)]))
    dump(theirs / "val_mat.pkl", matrix([(1, 1)]))
    import_data(theirs, tmp_path / "out")
    for name in ("usr", "itm"):
        dump(theirs / f"{name}_emb_np.pkl", np.arange(3.0).reshape(3, 1))
    arrays = load_arrays(tmp_path / "out", tmp_path / "home", 0)
    found = read_embeddings(theirs, tmp_path / "out", arrays)
    assert list(read_source(tmp_path / "out").items) != ["0", "1", "2"]
    assert found[:, 0].tolist() == [0, 1, 2, 0, 1, 2]


def test_a_mapper_beside_embeddings_counts_more_than_the_order_of_the_data(tmp_path):
    data, theirs = tmp_path / "data", tmp_path / "theirs"
    data.mkdir()
    (data / "interactions.csv").write_text(
        "user_id,item_id,split\na,x,train\nb,x,val\na,y,test\nb,y,train\n"
    )
    for name in ("usr", "itm"):
        dump(theirs / f"{name}_emb_np.pkl", np.array([[1.0], [2.0]]))
    mapper(theirs / "n_user.json", [{"uid": 0, "user_id": "b"}, {"uid": 1, "user_id": "a"}])
    mapper(theirs / "n_item.json", [{"iid": 0, "item_id": "x"}, {"iid": 1, "item_id": "y"}])
    found = read_embeddings(theirs, data, load_arrays(data, tmp_path / "home", 0))
    assert found[:, 0].tolist() == [2, 1, 1, 2]


def spoil(folder, what):
    if what == "no test":
        (folder / "tst_mat.pkl").unlink()
    if what == "no matrix":
        dump(folder / "val_mat.pkl", np.eye(3))
    if what == "outside":
        found = matrix(PAIRS["val"])
        found.row = np.array([9], dtype=np.int32)
        dump(folder / "val_mat.pkl", found)
    if what == "csr":
        found = matrix(PAIRS["val"]).tocsr()
        found.indptr = np.array([0, 9, 9, 9], dtype=np.int32)
        dump(folder / "val_mat.pkl", found)
    if what == "other shape":
        dump(folder / "val_mat.pkl", matrix(PAIRS["val"], (4, 3)))
    if what == "gap":
        mapper(folder / "a_user.json", [USERS[0], USERS[1]])
    if what == "twice":
        mapper(folder / "a_user.json", [*USERS, USERS[0]])
    if what == "no id":
        mapper(folder / "a_user.json", [*USERS[:2], {"uid": 1, "reviewerID": None}])
    if what == "other line":
        mapper(folder / "a_user.json", [*USERS[:2], {"uid": "1", "reviewerID": "x"}])
    if what == "two mappers":
        mapper(folder / "a_user.json", USERS)
        mapper(folder / "b_user.json", USERS)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("no test", r"has no trn_mat\.pkl and tst_mat\.pkl"),
        ("no matrix", r"val_mat\.pkl holds no sparse matrix"),
        ("outside", r"val_mat\.pkl is damaged: it names cells"),
        ("csr", r"val_mat\.pkl is damaged: its rows do not add up"),
        ("other shape", r"val_mat\.pkl has 4 users, but amazon_user\.json has 3"),
        ("gap", r"a_user\.json: uid does not number its rows"),
        ("twice", r"a_user\.json, row 4: uid 2 is there already"),
        ("no id", r"a_user\.json, row 3: reviewerID is empty"),
        ("other line", r"a_user\.json, row 3 is not"),
        ("two mappers", r"both a_user\.json and b_user\.json"),
    ],
)
def test_what_cannot_be_true_is_told_and_nothing_is_left(theirs, tmp_path, what, told):
    spoil(theirs, what)
    with pytest.raises(DataError, match=told):
        import_data(theirs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
