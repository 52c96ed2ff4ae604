"""A data folder that changes: what joins it, what is edited, what goes, and where its split is."""

import json
from pathlib import Path

import pytest

from errors import DataError, UsageError
from stores.changing import Doomed, append, doomed, remove
from stores.datasets import load_training, read_split
from stores.formats import digest
from stores.formats.importing import Reading
from stores.formats.layout import read_source
from stores.growth import RATIO, cuts_of, grown
from stores.splits import write_split

HEAD = "user_id,item_id,rating,review"


@pytest.fixture
def folder(tmp_path):
    """Six users, six items; user 0 has an interaction with every item, and so on."""
    home = tmp_path / "d"
    home.mkdir()
    rows = [f"u{u},i{i},{1 + i % 5},said by u{u} of i{i}" for u in range(6) for i in range(6)]
    put(home / "interactions.csv", HEAD, *rows)
    put(
        home / "items.csv",
        "item_id,maker,title,colour",
        *(f"i{i},m,Thing {i},red" for i in range(6)),
    )
    return home


def put(path, *lines):
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def joined(folder, tmp_path, *lines, **how):
    return append(put(tmp_path / "new.csv", *lines), folder, Reading(**how))


def row(folder, user, item):
    return next(one for one in read_source(folder).rows if (one.user, one.item) == (user, item))


def test_new_rows_join_known_ones_are_replaced_whole_and_the_rest_stays(folder, tmp_path):
    before = read_source(folder)
    done = joined(folder, tmp_path, "user_id,item_id,review", "u0,i0,other words", "new,i1,mine")
    assert (done.added, done.edited, done.removed, done.interactions) == (1, 1, 0, 37)
    assert row(folder, "u0", "i0")[2:6] == (None, None, "other words", None)
    assert row(folder, "u1", "i1")[:6] == next(r for r in before.rows if r[:2] == ("u1", "i1"))[:6]
    assert "new" in read_source(folder).users


def test_only_the_texts_that_are_given_replace_those_of_a_known_item(folder, tmp_path):
    (tmp_path / "delta").mkdir()
    put(tmp_path / "delta" / "items.csv", "item_id,title,size", "i0,Better,9", "i9,Ninth,1")
    done = append(tmp_path / "delta", folder, Reading())
    assert (done.added, done.edited, done.items) == (0, 0, 7)
    items = read_source(folder).items
    # The order of columns is the order in which a question shows them.
    assert list(items["i0"].texts.items()) == [
        *(("maker", "m"), ("title", "Better"), ("colour", "red"), ("size", "9"))
    ]
    assert items["i9"].texts == {"title": "Ninth", "size": "1"}


def test_a_folder_to_which_nothing_new_is_said_is_not_touched(folder, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    done = joined(folder, tmp_path, HEAD, "u0,i0,1,said by u0 of i0")
    assert (done.added, done.edited, done.removed) == (0, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_changed_folder_says_what_it_held_and_keeps_files_that_are_not_ours(folder, tmp_path):
    put(folder / "dataset.yaml", "domain: book")
    put(folder / "NOTES.txt", "mine")
    held = digest.content(read_source(folder))
    joined(folder, tmp_path, HEAD, "new,i1,3,x")
    then = digest.content(read_source(folder))
    remove(folder, doomed(["item:i5"]))
    assert read_source(folder).history == (held, then)
    assert (folder / "NOTES.txt").read_text() == "mine\n"
    assert read_source(folder).about == {"domain": "book"}


def test_a_bad_row_leaves_the_folder_as_it_was(folder, tmp_path):
    before = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    with pytest.raises(DataError, match=r"new\.csv, row 3: item_id is empty"):
        joined(folder, tmp_path, HEAD, "new,i1,3,x", "new,,3,x")
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == before
    assert joined(folder, tmp_path, HEAD, "new,,3,x", "n,i1,,", on_bad_rows="skip").added == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == ["d", "new.csv"]


def test_what_is_rated_too_low_now_goes_as_it_would_not_have_come(folder, tmp_path):
    done = joined(folder, tmp_path, HEAD, "u0,i4,1,changed my mind", min_rating=3.0)
    assert (done.edited, done.removed) == (0, 1)


def test_pairs_users_and_items_are_removed_by_name_or_by_a_file(folder, tmp_path):
    pairs = put(tmp_path / "pairs.csv", "uid,asin", "u0,i0", "u0,i1", "nobody,i0")
    users = put(tmp_path / "users.csv", "user_id", "u5")
    done = remove(folder, doomed([str(pairs), str(users), "item:i4"]))
    source = read_source(folder)
    assert (done.removed, done.absent) == (2 + 6 + 5, 1)
    assert "u5" not in source.users and "i4" not in source.items and "u0" in source.users


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("user_id,thing", "u0,i0"), "neither user_id and item_id nor one of them alone"),
        (("a,b", "u0,i0"), "neither user_id and item_id"),
        (("user_id,item_id", "u0,"), r"row 2: item_id is empty"),
        (('{"user_id": "u0", "item_id": "i0"}', '{"user_id": "u1"}'), "row 2: it has other ids"),
    ],
)
def test_a_file_that_could_mean_more_than_it_should_removes_nothing(tmp_path, lines, words):
    with pytest.raises(DataError, match=words):
        doomed([str(put(tmp_path / ("x.jsonl" if "{" in lines[0] else "x.csv"), *lines))])


def test_a_word_that_is_no_node_and_no_file_is_refused():
    with pytest.raises(UsageError, match="'u5' is no file and no node"):
        doomed(["u5"])


def test_a_folder_is_not_emptied(folder):
    with pytest.raises(DataError, match="Nothing would be left"):
        remove(folder, Doomed(frozenset(), frozenset(f"u{u}" for u in range(6)), frozenset()))


def test_the_command_line_appends_and_removes(folder, tmp_path, cli):
    new = put(tmp_path / "new.csv", HEAD, "new,i1,3,x", "u0,i0,1,other words")
    words = ("data", "import", new, "--append", "--out", folder, "--json")
    done = cli(*words)
    assert done.code == 0, done.err
    counted = {key: done.summary[key] for key in ("added", "edited", "removed", "interactions")}
    assert counted == {"added": 1, "edited": 1, "removed": 0, "interactions": 37}
    done = cli("data", "remove", "user:new", "user:nobody", "--data", folder, "--json")
    assert (done.summary["removed"], done.summary["absent"], done.summary["users"]) == (1, 1, 6)
    done = cli(*words[:-2], tmp_path / "nowhere")
    assert done.code == 2 and "without --append" in done.err


# The split


def test_a_recorded_split_keeps_every_pair_in_its_part_and_places_new_ones(folder, tmp_path):
    home = tmp_path / "ws" / "split"
    before = read_split(folder, home, 0)
    lines = [f"u{u},n{i},3," for u in range(6) for i in range(20)]
    items = put(tmp_path / "items.csv", "item_id", *(f"n{i}" for i in range(20)))
    joined(folder, tmp_path, HEAD, *lines, items=items)
    remove(folder, Doomed(frozenset({before["test"][0]}), frozenset(), frozenset()))
    found = load_training(folder, home, 0)
    after = read_split(folder, home, 0)
    assert found.change == "+120 -1 interactions" and load_training(folder, home, 0).change == ""
    for part in ("train", "val", "test"):
        gone = {before["test"][0]} if part == "test" else set()
        assert set(before[part]) - gone <= set(after[part])
    assert sum(len(pairs) for pairs in after.values()) == 36 + 120 - 1
    assert 70 <= len(after["train"]) - len(before["train"]) <= 100
    assert {item for _, item in after["train"]} >= {f"n{i}" for i in range(20)}


def test_a_split_of_the_folder_grows_as_the_source_says_else_by_its_own_shares(folder, tmp_path):
    write_split(folder, "leave-one-out", 4)
    before = read_source(folder).parts
    joined(folder, tmp_path, "user_id,item_id,split", "new,i0,train", "new,i1,test", "new,i2,val")
    parts = read_source(folder).parts
    assert ("new", "i1") in parts["test"] and ("new", "i2") in parts["val"]
    assert all(set(before[part]) <= set(parts[part]) for part in parts)
    first = json.loads((folder / "split.json").read_text())
    assert first["cuts"] == list(cuts_of(before)) and first["scheme"] == "leave-one-out"
    joined(folder, tmp_path, HEAD, "other,i0,1,", "other,i1,1,")
    assert json.loads((folder / "split.json").read_text())["cuts"] == first["cuts"]
    assert "other" in {user for user, _ in read_source(folder).parts["train"]}


def test_a_source_may_not_move_a_pair_nor_split_what_has_no_split(folder, tmp_path):
    with pytest.raises(DataError, match="has no split of its own"):
        joined(folder, tmp_path, "user_id,item_id,split", "new,i0,train")
    write_split(folder, "ratio", 0)
    user, item = read_source(folder).parts["test"][0]
    with pytest.raises(DataError, match="are in test, and the source puts them into train"):
        joined(folder, tmp_path, "user_id,item_id,split", f"{user},{item},train")


def test_where_a_new_pair_goes_does_not_depend_on_what_comes_with_it():
    old = {"train": [(f"u{n}", f"i{n}") for n in range(40)], "val": [], "test": []}
    new = [(f"u{a}", f"i{b}") for a in range(40) for b in range(40) if a != b]
    known = {pair for pairs in old.values() for pair in pairs}
    at_once = grown(old, known | set(new), 7, RATIO).parts
    half = grown(old, known | set(new[::2]), 7, RATIO).parts
    assert grown(half, known | set(new), 7, RATIO).parts == at_once
    assert at_once["test"] and at_once != grown(old, known | set(new), 8, RATIO).parts
    shares = [len(at_once[part]) / len(new) for part in ("val", "test")]
    assert shares == [pytest.approx(0.2, abs=0.03)] * 2


def test_a_record_that_was_half_replaced_is_still_read(folder, tmp_path):
    home: Path = tmp_path / "ws" / "split"
    read_split(folder, home, 0)
    old = (home / "split.parquet").read_bytes()
    joined(folder, tmp_path, HEAD, "new,i1,3,x")
    after = read_split(folder, home, 0)
    # As a killed process leaves it: the new pairs wait beside the old ones.
    (home / "split.parquet").rename(home / "split.next.parquet")
    (home / "split.parquet").write_bytes(old)
    assert read_split(folder, home, 0) == after
