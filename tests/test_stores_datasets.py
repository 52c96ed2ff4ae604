"""Data folders: what training may see of them, what they are refused for, and what they hold."""

import csv
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from errors import DataError
from stores.datasets import describe, load_training, read_split

REAL = Path(__file__).parents[2] / "shared" / "data"
MARKER = "heldout-marker"


def table(path, *rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def board(folder, users=8, items=6, order=None):
    """A folder where user and item liked each other when their sum is even."""
    rows = [
        (f"u{u}", f"i{i}", 1 + (u + i) % 5, 1000 + u * 10 + i, f"words of u{u} on i{i}")
        for u in range(users)
        for i in range(items)
        if (u + i) % 2 == 0
    ]
    if order is not None:
        random.Random(order).shuffle(rows)
    folder.mkdir(exist_ok=True)
    names = ("user_id", "item_id", "rating", "timestamp", "review")
    table(folder / "interactions.csv", names, *rows)
    return folder


def small(folder, interactions, **files):
    """A folder of CSV files, each given as its lines."""
    folder.mkdir(exist_ok=True)
    for name, lines in {"interactions": interactions, **files}.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def refused(folder, home, words):
    with pytest.raises(DataError, match=words) as caught:
        load_training(folder, home, 1)
    return caught.value


TRIO = ("user_id,item_id", "a,x", "a,y", "b,x")


def test_the_order_of_rows_changes_nothing(tmp_path):
    one = load_training(board(tmp_path / "d", order=1), tmp_path / "home1", 7)
    two = load_training(board(tmp_path / "d", order=2), tmp_path / "home2", 7)
    assert one == two
    assert (tmp_path / "home1/split.json").read_bytes() == (
        tmp_path / "home2/split.json"
    ).read_bytes()


def test_the_format_of_the_files_changes_no_digest(tmp_path):
    csv_folder = board(tmp_path / "a")
    digest = load_training(csv_folder, tmp_path / "h1", 7).digest
    with (csv_folder / "interactions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {"rating": float(row["rating"]), "timestamp": int(row["timestamp"])}
    (tmp_path / "b").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b/interactions.parquet")
    (tmp_path / "c").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "c/interactions.jsonl").write_text(lines, "utf-8")
    assert load_training(tmp_path / "b", tmp_path / "h2", 7).digest == digest
    assert load_training(tmp_path / "c", tmp_path / "h3", 7).digest == digest


@pytest.mark.parametrize("column", range(2, 5))
def test_every_cell_of_an_interaction_counts_in_the_digest(tmp_path, column):
    row = ["a", "x", "3", "100", "fine"]
    names = ("user_id", "item_id", "rating", "timestamp", "review")
    (tmp_path / "d").mkdir()
    table(tmp_path / "d/interactions.csv", names, row)
    before = load_training(tmp_path / "d", tmp_path / "h1", 1).digest
    row[column] = "4"
    table(tmp_path / "d/interactions.csv", names, row)
    assert load_training(tmp_path / "d", tmp_path / "h2", 1).digest != before


@pytest.mark.parametrize("own", ["none", "files", "column"])
def test_no_trace_of_a_held_out_interaction_is_loaded(tmp_path, own):
    folder, home = board(tmp_path / "d"), tmp_path / "home"
    split = read_split(folder, home, 3)
    part_of = {pair: part for part, pairs in split.items() for pair in pairs}
    with (folder / "interactions.csv").open(encoding="utf-8", newline="") as file:
        names, *rows = list(csv.reader(file))
    for row in rows:
        held = part_of[row[0], row[1]] != "train"
        row += [f"{MARKER} headline" if held else "good", part_of[row[0], row[1]]]
        row[2:5] = ["4.125", "987654", f"{row[4]} {MARKER}"] if held else row[2:5]
    keep = 7 if own == "column" else 6
    names += ["summary", "split"]
    table(folder / "interactions.csv", names[:keep], *(row[:keep] for row in rows))
    if own == "files":
        for part, pairs in split.items():
            table(folder / f"{part}.csv", ("user_id", "item_id"), *pairs)

    dataset = load_training(folder, tmp_path / "fresh", 3)

    assert dataset.counts == {part: len(pairs) for part, pairs in split.items()}
    assert {(one.user, one.item) for one in dataset.training} == set(split["train"])
    for leaked in (MARKER, "4.125", "987654"):
        assert leaked not in repr(dataset)


def test_training_is_sorted_by_user_and_item(tmp_path):
    training = load_training(board(tmp_path / "d", order=5), tmp_path / "home", 7).training
    pairs = [(one.user, one.item) for one in training]
    assert pairs == sorted(pairs)


def test_headline_and_review_become_one_text(tmp_path):
    lines = ("user_id,item_id,review,summary", "a,x,It broke.,Bad", "a,y,,Good", "a,z,Fine,")
    training = load_training(small(tmp_path / "d", lines, **all_train(lines)), tmp_path / "h", 1)
    assert [one.review for one in training.training] == ["Bad. It broke.", "Good", "Fine"]


def all_train(lines):
    pairs = [line.split(",")[:2] for line in lines[1:]]
    head = ("user_id,item_id",)
    return {"train": (*head, *(",".join(pair) for pair in pairs)), "val": head, "test": head}


def test_the_split_is_on_record_and_reused_with_another_seed(tmp_path):
    folder, home = board(tmp_path / "d"), tmp_path / "ws/split"
    first = load_training(folder, home, 7)
    record = json.loads((home / "split.json").read_text())
    assert record["seed"] == 7
    assert record["counts"] == first.counts
    assert record["source"] == first.digest
    assert load_training(folder, home, 8) == first
    assert load_training(folder, tmp_path / "other", 8).training != first.training


def test_changed_data_is_refused_where_a_split_is_on_record(tmp_path):
    folder, home = board(tmp_path / "d"), tmp_path / "home"
    load_training(folder, home, 7)
    with (folder / "interactions.csv").open("a", encoding="utf-8") as file:
        file.write("new,i1,5,1,\n")
    assert "new workspace" in refused(folder, home, "d changed after its split was made").hint


def test_a_damaged_record_is_refused(tmp_path):
    folder, home = board(tmp_path / "d"), tmp_path / "home"
    load_training(folder, home, 7)
    pq.write_table(pq.read_table(home / "split.parquet").slice(1), home / "split.parquet")
    refused(folder, home, "damaged")


def test_a_split_of_the_folder_may_grow_but_not_hold_out_what_was_for_training(tmp_path):
    head = "user_id,item_id"
    folder = small(tmp_path / "d", TRIO, train=(head, "a,x"), val=(head, "a,y"), test=(head,))
    load_training(folder, tmp_path / "h", 1)
    small(folder, TRIO, train=(head, "a,x", "b,x"))
    assert load_training(folder, tmp_path / "h", 1).counts["train"] == 2
    small(folder, TRIO, train=(head, "a,x"), test=(head, "b,x"))
    refused(folder, tmp_path / "h", "1 interactions of d were for training and are now held out")


def test_a_pair_in_train_and_test_is_refused_by_name(tmp_path):
    head = "user_id,item_id"
    folder = small(tmp_path / "d", TRIO, train=(head, "a,x"), val=(head,), test=(head, "a,x"))
    refused(folder, tmp_path / "h", "User 'a' and item 'x' are in train and in test")


def test_a_split_that_names_an_unknown_pair_is_refused_with_file_and_row(tmp_path):
    head = "user_id,item_id"
    folder = small(
        tmp_path / "d", TRIO, train=(head, "a,x"), val=(head,), test=(head, "b,x", "b,y")
    )
    refused(folder, tmp_path / "h", r"test\.csv, row 3: user 'b' and item 'y' are not in")


def test_half_a_split_is_refused(tmp_path):
    folder = small(tmp_path / "d", TRIO, train=("user_id,item_id", "a,x"))
    assert "val, test" in refused(folder, tmp_path / "h", "only some of its").hint


def test_a_split_column_may_only_say_train_val_or_test(tmp_path):
    folder = small(tmp_path / "d", ("user_id,item_id,split", "a,x,train", "a,y,valid"))
    refused(folder, tmp_path / "h", r"interactions\.csv, row 3: split 'valid' is not")


def test_an_item_unknown_to_the_items_file_is_refused_with_file_and_row(tmp_path):
    folder = small(tmp_path / "d", TRIO, items=("item_id,title", "x,Ex"))
    words = r"interactions\.csv, row 3: unknown id: item_id 'y' is not in the items file"
    refused(folder, tmp_path / "h", words)


def test_a_user_unknown_to_the_users_file_is_refused_with_file_and_row(tmp_path):
    folder = small(tmp_path / "d", TRIO, users=("user_id", "a"))
    words = r"interactions\.csv, row 4: unknown id: user_id 'b' is not in the users file"
    refused(folder, tmp_path / "h", words)


def test_without_an_items_file_items_are_made_from_the_ids(tmp_path):
    dataset = load_training(small(tmp_path / "d", TRIO), tmp_path / "h", 1)
    assert sorted(dataset.items) == ["x", "y"]
    assert sorted(dataset.users) == ["a", "b"]


def test_items_keep_title_description_and_attributes_apart(tmp_path):
    items = (
        "item_id,genre,title,year,description",
        'x,"rock, pop",Ex,1999,Long',
        "y,,,,",
        "z,,Zed,,",
    )
    found = load_training(small(tmp_path / "d", TRIO, items=items), tmp_path / "h", 1).items
    assert (found["x"].title, found["x"].description) == ("Ex", "Long")
    assert list(found["x"].attributes.items()) == [("genre", "rock, pop"), ("year", "1999")]
    assert found["y"].attributes == {} and found["y"].title is None
    assert found["z"].title == "Zed"


def test_attributes_that_are_lists_are_joined(tmp_path):
    folder = small(tmp_path / "d", TRIO)
    rows = [{"item_id": "x", "tags": ["a", "b"]}, {"item_id": "y", "tags": []}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "items.parquet")
    items = load_training(folder, tmp_path / "h", 1).items
    assert items["x"].attributes == {"tags": "a, b"}
    assert items["y"].attributes == {}


def test_dataset_yaml_gives_domain_and_language(tmp_path):
    folder = small(tmp_path / "d", TRIO)
    (folder / "dataset.yaml").write_text('# about\ndomain: "book"  # what\nlanguage: no\n')
    dataset = load_training(folder, tmp_path / "h", 1)
    assert (dataset.name, dataset.domain, dataset.language) == ("d", "book", "no")


def test_dataset_yaml_with_another_key_is_refused(tmp_path):
    folder = small(tmp_path / "d", TRIO)
    (folder / "dataset.yaml").write_text("domain: book\nlicence: MIT\n")
    refused(folder, tmp_path / "h", r"dataset\.yaml, row 2: unknown key 'licence'")


def test_a_folder_without_interactions_says_how_to_bring_data_in(tmp_path):
    (tmp_path / "d").mkdir()
    assert "data import" in refused(tmp_path / "d", tmp_path / "h", "has no interactions").hint


def test_two_files_for_one_table_are_refused(tmp_path):
    folder = small(tmp_path / "d", TRIO)
    (folder / "interactions.jsonl").write_text("{}")
    refused(folder, tmp_path / "h", "interactions.csv and interactions.jsonl")


def test_a_bad_row_stops_loading_with_file_and_row(tmp_path):
    folder = small(tmp_path / "d", ("user_id,item_id,rating", "a,x,5", "a,,5"))
    refused(folder, tmp_path / "h", r"^interactions\.csv, row 3: item_id is empty\.$")


def test_nothing_is_recorded_when_the_data_is_refused(tmp_path):
    refused(small(tmp_path / "d", ("user_id,item_id", "a,")), tmp_path / "h", "empty")
    assert not (tmp_path / "h").exists()


def test_describe_counts_what_the_folder_holds(tmp_path):
    lines = (
        "user_id,item_id,rating,review,split",
        "a,x,5,one two three,train",
        "a,y,,,test",
        "b,x,4,one,val",
        "c,x,4,,train",
    )
    items = ("item_id,title,genre", "x,Ex,rock", "y,,", "z,Zed,")
    found = describe(small(tmp_path / "d", lines, items=items))
    assert found == found | {
        "users": 3,
        "items": 3,
        "interactions": 4,
        "density": 4 / 9,
        "splits": {"train": 2, "val": 1, "test": 1},
        "users_without_training": 1,
        "items_without_training": 2,
        "items_with_title": 2 / 3,
        "items_with_description": 0,
        "interactions_with_review": 0.5,
        "interactions_with_rating": 0.75,
        "interactions_with_timestamp": 0,
        "review_words_median": 2,
        "review_words_p90": 3,
        "user_degree": {"min": 1, "median": 1, "max": 2},
        "item_degree": {"min": 0, "median": 1, "max": 3},
        "user_attributes": [],
        "item_attributes": ["genre"],
    }


def test_describe_makes_no_split(tmp_path):
    folder = board(tmp_path / "d")
    assert describe(folder)["splits"] is None
    assert [path.name for path in folder.iterdir()] == ["interactions.csv"]


def real(name):
    if not (REAL / name).is_dir():
        pytest.skip(f"the research data {name} is not on this machine")
    return REAL / name


def test_amazon_instruments_loads_with_its_published_counts(tmp_path):
    dataset = load_training(real("amazon_instruments"), tmp_path, 7)
    assert (len(dataset.users), len(dataset.items)) == (1429, 900)
    assert sum(dataset.counts.values()) == 10261
    assert {one.user for one in dataset.training} == set(dataset.users)
    assert {one.item for one in dataset.training} == set(dataset.items)


def test_the_books_of_rlmrec_load_with_their_official_split(tmp_path):
    official = {"train": 120464, "val": 40290, "test": 40106}
    dataset = load_training(real("rlmrec_amazon_book"), tmp_path, 7)
    assert dataset.counts == official
    assert len(dataset.training) == official["train"]
    found = describe(real("rlmrec_amazon_book"))
    assert (found["users"], found["items"], found["splits"]) == (11000, 9332, official)
