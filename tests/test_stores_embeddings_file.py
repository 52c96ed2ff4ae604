"""Text embeddings from a user's .npz or .parquet: found by name, refused where they do not fit."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from errors import DataError
from stores.arrays import Arrays
from stores.embeddings_file import read_embeddings

IDS = st.lists(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6
    ),
    min_size=1,
    max_size=6,
    unique=True,
)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
NONE = np.zeros((0, 2), dtype=np.int64)


def arrays(users=("a", "b"), items=("x", "y", "z")):
    return Arrays("data", "digest", "settled", list(users), list(items), NONE, NONE, NONE)


def write_npz(path, users, items, user_rows, item_rows):
    np.savez(path, user_ids=users, users=user_rows, item_ids=items, items=item_rows)
    return path


def write_parquet(path, users, items, user_rows, item_rows):
    nodes = [*(f"user:{id}" for id in users), *(f"item:{id}" for id in items)]
    vectors = [row.tolist() for row in (*user_rows, *item_rows)]
    kind = pa.list_(pa.float32())
    pq.write_table(pa.table({"node": nodes, "vector": pa.array(vectors, kind)}), path)
    return path


WRITERS = {"t.npz": write_npz, "t.parquet": write_parquet}
BOTH = pytest.mark.parametrize("name", WRITERS)


def good(name, folder):
    rows = np.arange(15, dtype=np.float32).reshape(5, 3)
    return WRITERS[name](folder / name, ["a", "b"], ["x", "y", "z"], rows[:2], rows[2:])


@BOTH
@settings(deadline=None, max_examples=60)
@given(users=IDS, items=IDS, data=st.data())
def test_any_embeddings_come_back_in_the_order_of_the_data(name, users, items, data):
    rows = data.draw(npst.arrays(np.float32, (len(users) + len(items), 3), elements=FLOATS))
    there = (
        data.draw(st.permutations(range(len(users)))),
        data.draw(st.permutations(range(len(items)))),
    )
    with TemporaryDirectory() as folder:
        path = WRITERS[name](
            Path(folder) / name,
            [users[n] for n in there[0]],
            [items[n] for n in there[1]],
            rows[: len(users)][list(there[0])],
            rows[len(users) :][list(there[1])],
        )
        found = read_embeddings(path, Path(folder), arrays(users, items))
    assert found.dtype == np.float32
    assert np.array_equal(found, rows)


@BOTH
def test_nodes_that_the_data_does_not_have_are_left_out(name, tmp_path):
    found = read_embeddings(good(name, tmp_path), tmp_path, arrays(["b"], ["z", "x"]))
    assert found.tolist() == [[3, 4, 5], [12, 13, 14], [6, 7, 8]]


def test_a_user_and_an_item_of_the_same_id_are_two_nodes(tmp_path):
    rows = np.eye(2, dtype=np.float32)
    path = write_npz(tmp_path / "t.npz", ["7"], ["7"], rows[:1], rows[1:])
    assert read_embeddings(path, tmp_path, arrays(["7"], ["7"])).tolist() == rows.tolist()


def test_ids_may_be_numbers_and_vectors_of_any_precision(tmp_path):
    path = write_npz(
        tmp_path / "t.npz", np.array([2, 10]), np.array([3]), np.eye(2), np.array([[7, 8]])
    )
    found = read_embeddings(path, tmp_path, arrays(["10", "2"], ["3"]))
    assert found.tolist() == [[0, 1], [1, 0], [7, 8]] and found.dtype == np.float32


@BOTH
def test_a_node_without_an_embedding_is_named(name, tmp_path):
    with pytest.raises(DataError, match=r"2 of 7 nodes have no text embedding: user:c, item:w"):
        read_embeddings(good(name, tmp_path), tmp_path, arrays("abc", "wxyz"))


@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_that_is_no_number_is_named(name, value, tmp_path):
    rows = np.ones((5, 3), dtype=np.float32)
    rows[3, 1] = value
    path = WRITERS[name](tmp_path / name, ["a", "b"], ["x", "y", "z"], rows[:2], rows[2:])
    with pytest.raises(DataError, match=r"1 text embeddings hold NaN or infinity: item:y"):
        read_embeddings(path, tmp_path, arrays())


def test_complex_numbers_are_refused(tmp_path):
    rows = np.ones((5, 3), dtype=np.complex64)
    path = write_npz(tmp_path / "t.npz", ["a", "b"], ["x", "y", "z"], rows[:2], rows[2:])
    with pytest.raises(DataError, match="complex numbers"):
        read_embeddings(path, tmp_path, arrays())


@BOTH
def test_embeddings_without_a_number_are_refused(name, tmp_path):
    rows = np.ones((5, 0), dtype=np.float32)
    path = WRITERS[name](tmp_path / name, ["a", "b"], ["x", "y", "z"], rows[:2], rows[2:])
    with pytest.raises(DataError, match="their width is 0"):
        read_embeddings(path, tmp_path, arrays())


@BOTH
def test_users_and_items_of_different_widths_are_refused(name, tmp_path):
    path = WRITERS[name](
        tmp_path / name, ["a", "b"], ["x", "y", "z"], np.ones((2, 3)), np.ones((3, 4))
    )
    with pytest.raises(DataError, match="different widths: 3, 4"):
        read_embeddings(path, tmp_path, arrays())


@BOTH
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_a_file_that_is_cut_anywhere_or_damaged_is_told_or_read(name, data):
    with TemporaryDirectory() as folder:
        path = good(name, Path(folder))
        raw = bytearray(path.read_bytes())
        if data.draw(st.booleans(), "cut"):
            raw = raw[: data.draw(st.integers(0, len(raw) - 1), "at")]
        else:
            raw[data.draw(st.integers(0, len(raw) - 1), "at")] ^= data.draw(st.integers(1, 255))
        path.write_bytes(raw)
        try:
            assert read_embeddings(path, Path(folder), arrays()).shape == (5, 3)
        except DataError as error:
            assert error.hint


ODD = {
    "lacks an array": {"items": None},
    "one number a node": {"users": np.ones(2)},
    "a table a node": {"users": np.ones((2, 3, 3))},
    "too few rows": {"users": np.ones((1, 3))},
    "words": {"users": np.array([["p", "q"], ["r", "s"]])},
    "objects": {"users": np.array([[None, 1], [2, 3]], dtype=object)},
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_an_npz_that_holds_something_else_is_refused(change, tmp_path):
    held = {
        "user_ids": ["a", "b"],
        "users": np.ones((2, 3)),
        "item_ids": ["x", "y", "z"],
        "items": np.ones((3, 3)),
        **change,
    }
    np.savez(tmp_path / "t.npz", **{k: v for k, v in held.items() if v is not None})
    with pytest.raises(DataError, match=r"t\.npz cannot be read") as error:
        read_embeddings(tmp_path / "t.npz", tmp_path, arrays())
    assert "user_ids, users" in error.value.hint


@pytest.mark.parametrize(
    "columns",
    [
        {"node": ["user:a"]},
        {"node": ["user:a"], "vector": [1.5]},
        {"node": ["user:a"], "vector": [None]},
        {"node": ["user:a"], "vector": [["p"]]},
        {"node": ["user:a"], "vector": [[[1.0]]]},
        {"node": ["user:a"], "vector": [{"x": 1.0}]},
    ],
    ids=["no vector", "a number", "nothing", "words", "a table", "a record"],
)
def test_a_parquet_file_that_holds_something_else_is_refused(columns, tmp_path):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet cannot be read"):
        read_embeddings(tmp_path / "t.parquet", tmp_path, arrays(["a"], []))


@BOTH
def test_a_node_with_two_embeddings_is_refused(name, tmp_path):
    WRITERS[name](tmp_path / name, ["a", "a", "b"], ["x"], np.eye(3), np.ones((1, 3)))
    with pytest.raises(DataError, match=f"{name} names some nodes more than once"):
        read_embeddings(tmp_path / name, tmp_path, arrays(["a", "b"], ["x"]))


@pytest.mark.parametrize("name", ["none.npz", "none.parquet"])
def test_a_file_that_is_not_there_is_told(name, tmp_path):
    with pytest.raises(DataError, match=rf"{name} cannot be read"):
        read_embeddings(tmp_path / name, tmp_path, arrays())


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("node,vector\n")
    with pytest.raises(DataError, match=r"neither \.npz nor \.parquet nor a folder"):
        read_embeddings(tmp_path / "t.csv", tmp_path, arrays())
