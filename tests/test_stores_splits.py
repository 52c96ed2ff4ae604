"""The three ways to split, and how a split is put into a data folder."""

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import DataError, UsageError
from stores.datasets import load_training, read_split
from stores.splits import SCHEMES, make_split, write_split


@dataclass(frozen=True)
class Seen:
    user: str
    item: str
    timestamp: float | None = None


ids = st.integers(0, 12).map(str)
pairs = st.sets(st.tuples(ids, ids), min_size=1, max_size=80)


def seen(pairs):
    return [Seen(user, item, float(int(user) * 7 + int(item))) for user, item in sorted(pairs)]


def grid(users, items):
    return [Seen(f"u{u}", f"i{i}", float(u * 100 + i)) for u in range(users) for i in range(items)]


@given(pairs, st.sampled_from(sorted(SCHEMES)), st.integers(0, 3), st.randoms())
def test_every_scheme_is_a_partition_that_row_order_cannot_change(pairs, scheme, seed, random):
    rows = seen(pairs)
    split = make_split(rows, scheme, seed)
    assert list(split) == ["train", "val", "test"]
    assert sorted(pair for part in split.values() for pair in part) == sorted(pairs)
    random.shuffle(rows)
    assert make_split(rows, scheme, seed) == split


@given(pairs, st.integers(0, 3))
def test_ratio_leaves_every_user_and_item_something_to_train_on(pairs, seed):
    train = make_split(seen(pairs), "ratio", seed)["train"]
    assert {user for user, _ in train} == {user for user, _ in pairs}
    assert {item for _, item in train} == {item for _, item in pairs}


def test_ratio_is_three_to_one_to_one():
    split = make_split(grid(20, 20), "ratio", 1)
    assert [len(pairs) for pairs in split.values()] == [240, 80, 80]


def test_another_seed_is_another_ratio_split():
    assert make_split(grid(9, 9), "ratio", 1) != make_split(grid(9, 9), "ratio", 2)


def test_leave_one_out_tests_on_the_last_and_validates_on_the_one_before():
    rows = [Seen("a", "late", 9.0), Seen("a", "first", 1.0), Seen("a", "mid", 5.0)]
    assert make_split(rows, "leave-one-out", 1) == {
        "train": [("a", "first")],
        "val": [("a", "mid")],
        "test": [("a", "late")],
    }


def test_leave_one_out_goes_by_hash_where_there_is_no_time():
    rows = [Seen("a", item) for item in "vwxyz"]
    splits = [make_split(rows, "leave-one-out", seed) for seed in range(9)]
    assert all([len(pairs) for pairs in split.values()] == [3, 1, 1] for split in splits)
    assert len({str(split) for split in splits}) > 1


def test_leave_one_out_keeps_users_with_two_interactions_in_train():
    split = make_split([Seen("a", "x", 1.0), Seen("a", "y", 2.0)], "leave-one-out", 1)
    assert split == {"train": [("a", "x"), ("a", "y")], "val": [], "test": []}


def test_time_cuts_at_one_moment_for_everyone():
    rows = [Seen(f"u{t}", f"i{t}", float(t)) for t in range(10)]
    split = make_split(rows, "time", 1)
    assert split["train"] == [(f"u{t}", f"i{t}") for t in range(6)]
    assert split["val"] == [("u6", "i6"), ("u7", "i7")]
    assert split["test"] == [("u8", "i8"), ("u9", "i9")]


def test_time_says_how_many_rows_have_no_timestamp():
    rows = [Seen("a", "x", 1.0), Seen("a", "y"), Seen("a", "z")]
    with pytest.raises(DataError, match="2 of 3 interactions have no timestamp"):
        make_split(rows, "time", 1)


def test_an_unknown_scheme_is_answered_with_the_known_ones():
    with pytest.raises(UsageError) as caught:
        make_split([], "random", 1)
    assert "ratio, leave-one-out, time" in caught.value.hint


@pytest.fixture
def folder(tmp_path):
    lines = [f"u{u},i{i}" for u in range(6) for i in range(6)]
    (tmp_path / "d").mkdir()
    (tmp_path / "d/interactions.csv").write_text("\n".join(["user_id,item_id", *lines]))
    return tmp_path / "d"


def test_a_split_written_into_the_folder_is_the_one_that_is_used(folder, tmp_path):
    counts = write_split(folder, "leave-one-out", 4)
    dataset = load_training(folder, tmp_path / "home", 9)
    assert counts == dataset.counts == {"train": 24, "val": 6, "test": 6}
    assert dataset.split_source == "train/val/test files"
    assert json.loads((folder / "split.json").read_text())["scheme"] == "leave-one-out"


def test_a_folder_that_has_a_split_keeps_it_unless_forced(folder, tmp_path):
    write_split(folder, "ratio", 1)
    before = read_split(folder, tmp_path / "h1", 1)
    with pytest.raises(DataError, match="already has a split"):
        write_split(folder, "ratio", 2)
    assert read_split(folder, tmp_path / "h2", 1) == before
    write_split(folder, "ratio", 2, force=True)
    assert read_split(folder, tmp_path / "h3", 1) != before


def test_a_forced_split_takes_the_place_of_files_in_another_format(folder, tmp_path):
    for part, pair in (("train", "u0,i0"), ("val", "u0,i1"), ("test", "u0,i2")):
        (folder / f"{part}.csv").write_text(f"user_id,item_id\n{pair}\n")
    counts = write_split(folder, "ratio", 1, force=True)
    assert load_training(folder, tmp_path / "home", 1).counts == counts
    assert not list(folder.glob("t*.csv"))


def test_a_split_with_an_empty_part_is_not_written(tmp_path):
    lines = [f"u0,i{i}" for i in range(5)]
    (tmp_path / "interactions.csv").write_text("\n".join(["user_id,item_id", *lines]))
    with pytest.raises(DataError, match="no val and no test interactions") as error:
        write_split(tmp_path, "ratio")
    assert "--scheme leave-one-out" in error.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["interactions.csv"]
    assert write_split(tmp_path, "leave-one-out") == {"train": 3, "val": 1, "test": 1}


def test_writing_a_split_leaves_no_other_files(folder):
    write_split(folder)
    names = {path.name for path in folder.iterdir()}
    expected = {"interactions.csv", "train.parquet", "val.parquet", "test.parquet", "split.json"}
    assert names == expected
