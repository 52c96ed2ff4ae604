"""Import: what each format means, which rows are bad and what is said of them, and what is left."""

import csv
import gzip
import json
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import DataError, UsageError
from stores.datasets import describe, load_training, read_split
from stores.formats.importing import import_data
from stores.formats.layout import read_source
from stores.formats.rows import BadRow


def put(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = text if isinstance(text, bytes) else text.encode(encoding)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(raw)
    return path


def brought(src, out, **options):
    """The interactions of an imported source, as tuples without the row number."""
    import_data(src, out, **options)
    return [tuple(row)[:6] for row in read_source(out).rows]


def bare(src, out, **options):
    return [row[:2] for row in brought(src, out, **options)]


# Ids


def test_ids_of_text_files_stay_as_they_are(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,item_id\n007,1.0\nNaN,1e5\n")
    assert bare(src, tmp_path / "out") == [("007", "1.0"), ("NaN", "1e5")]


def test_ids_that_are_numbers_become_whole_strings(tmp_path):
    lines = '{"user_id": 7, "item_id": 7.0}\n{"user_id": "07", "item_id": 12345678901234567890}\n'
    src = put(tmp_path / "a.jsonl", lines)
    assert bare(src, tmp_path / "out") == [("7", "7"), ("07", "12345678901234567890")]


def test_float_ids_of_parquet_lose_their_point_and_nan_is_empty(tmp_path):
    columns = {"user_id": [7.0, float("nan"), None], "item_id": [1, 2, 3]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    report = import_data(tmp_path / "a.parquet", tmp_path / "out", on_bad_rows="skip")
    assert [bad.row for bad in report.skipped] == [2, 3]
    assert [row[:2] for row in read_source(tmp_path / "out").rows] == [("7", "1")]


# Headers


@pytest.mark.parametrize(
    "header",
    [
        "user_id,item_id,rating,timestamp,review",
        "userId,movieId,stars,date,text",
        "reviewerID,asin,overall,unixReviewTime,reviewText",
        "User ID;Item-ID;score;time;comment",
        "uid\tbusiness_id\trating\ttimestamp\treview",
    ],
)
def test_common_headers_are_understood_without_a_flag(tmp_path, header):
    mark = next(mark for mark in ",;\t" if mark in header)
    src = put(tmp_path / "a.csv", f"{header}\n{mark.join(['a', 'x', '4', '100', 'fine'])}\n")
    assert brought(src, tmp_path / "out") == [("a", "x", 4.0, 100.0, "fine", None)]


def test_columns_can_be_named_by_hand(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,who,what\nrow1,a,x\n")
    assert bare(src, tmp_path / "out", columns={"user_id": "who", "item_id": "what"}) == [
        ("a", "x")
    ]


def test_a_hand_named_column_must_be_in_the_file(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,item_id\na,x\n")
    with pytest.raises(DataError, match=r"a\.csv has no column 'stars' to use as rating"):
        import_data(src, tmp_path / "out", columns={"rating": "stars"})


def test_only_our_columns_can_be_named(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,item_id\na,x\n")
    with pytest.raises(UsageError, match="Unknown column 'stars'"):
        import_data(src, tmp_path / "out", columns={"stars": "rating"})


def test_a_file_without_an_item_column_lists_the_columns_it_has(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,thing\na,x\n")
    with pytest.raises(DataError, match=r"a\.csv has no column item_id") as caught:
        import_data(src, tmp_path / "out")
    assert "user_id, thing" in caught.value.hint


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(DataError, match="two columns named 'item_id'"):
        import_data(put(tmp_path / "a.csv", "user_id,item_id,item_id\na,x,y\n"), tmp_path / "out")


# Values


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("1095465600", 1095465600.0),
        ("1095465600000", 1095465600.0),
        ("2004-09-18", 1095465600.0),
        ("2004-09-18 00:00:00", 1095465600.0),
        ("2004-09-18T02:00:00+02:00", 1095465600.0),
        ("", None),
    ],
)
def test_moments_become_unix_seconds(tmp_path, cell, seconds):
    src = put(tmp_path / "a.csv", f"user_id,item_id,timestamp\na,x,{cell}\n")
    assert brought(src, tmp_path / "out")[0][3] == seconds


def test_moments_of_parquet_become_unix_seconds(tmp_path):
    when = pa.array([1095465600_000000001], pa.int64()).cast(pa.timestamp("ns"))
    columns = {"user_id": ["a"], "item_id": ["x"], "timestamp": when}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert brought(tmp_path / "a.parquet", tmp_path / "out")[0][3] == 1095465600.0


def test_a_quoted_field_may_have_lines_and_delimiters(tmp_path):
    src = put(tmp_path / "a.csv", 'user_id,item_id,review\r\na,x,"one,\r\n""two"""\r\n')
    assert brought(src, tmp_path / "out")[0][4] == 'one,\r\n"two"'


def test_zipped_files_and_byte_order_marks_are_read(tmp_path):
    src = put(tmp_path / "a.csv.gz", "\ufeffuser_id,item_id\na,x\n")
    assert bare(src, tmp_path / "out") == [("a", "x")]


def test_another_encoding_is_read_when_named(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,item_id\nJosé,x\n", encoding="cp1252")
    assert bare(src, tmp_path / "out", encoding="cp1252") == [("José", "x")]


def test_interactions_rated_too_low_or_not_at_all_are_dropped(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,item_id,rating\na,x,5\na,y,3\nb,y,\n")
    assert bare(src, tmp_path / "out", min_rating=4) == [("a", "x")]


def test_a_split_file_may_name_what_the_rating_dropped(tmp_path):
    put(tmp_path / "d/interactions.csv", "user_id,item_id,rating\na,x,5\na,y,1\nb,y,5\n")
    put(tmp_path / "d/train.csv", "user_id,item_id\na,x\na,y\n")
    put(tmp_path / "d/test.csv", "user_id,item_id\nb,y\n")
    report = import_data(tmp_path / "d", tmp_path / "out", min_rating=4)
    assert report.splits == {"train": 1, "val": 0, "test": 1}


# Bad rows

CSV = "user_id,item_id,rating,timestamp\n"
BAD = {
    "empty id": ("a.csv", CSV + "a,x,1,1\na, ,1,1\n", 3, "item_id is empty"),
    "empty user": ("a.csv", CSV + ",x,1,1\na,x,1,1\n", 2, "user_id is empty"),
    "double": ("a.csv", CSV + "a,x,1,1\n\na,x,2,2\n", 4, "are already in row 2"),
    "too few": ("a.csv", CSV + "a,x,1,1\na,y\n", 3, "2 fields where the header has 4"),
    "too many": ("a.csv", CSV + "a,x,1,1\na,y,1,1,1\n", 3, "5 fields where the header has 4"),
    "rating": ("a.csv", CSV + 'a,x,1,1\na,y,"4,5",1\n', 3, "rating '4,5' is not a number"),
    "infinite": ("a.csv", CSV + "a,x,1,1\na,y,inf,1\n", 3, "rating 'inf' is not a finite"),
    "time": ("a.csv", CSV + "a,x,1,1\na,y,1,soon\n", 3, "timestamp 'soon' is neither"),
    "bytes": ("a.csv", CSV.encode() + b"a,x,1,1\na,\xe9,1,1\n", 3, "has bytes that do not decode"),
    "NUL": ("a.csv", CSV + "a,x,1,1\na,y\0,1,1\n", 3, "item_id contains a NUL byte"),
    "quotes": ("a.csv", CSV + 'a,x,1,1\na,"y,1,1\n', 3, "quotes do not add up"),
    "below a long field": ("a.csv", CSV + '"a\nb",x,1,1\na,,1,1\n', 4, "item_id is empty"),
    "json": ("a.jsonl", '{"user_id": 1, "item_id": 2}\n{"user_id": 1,\n', 2, "invalid JSON"),
    "json list": ("a.jsonl", '{"user_id": 1, "item_id": 2}\n[1, 2]\n', 2, "not a JSON object"),
    "json key": (
        "a.jsonl",
        '{"user_id": 1, "item_id": 2}\n{"user_id": 1}\n',
        2,
        "item_id is empty",
    ),
    "json NUL": ("a.jsonl", '{"user": 1, "item": 2}\n{"user": 1, "item": "\0"}\n', 2, "NUL"),
    "json half": (
        "a.jsonl",
        '{"user": 1, "item": 2}\n{"user": 1, "item": "\\ud800"}\n',
        2,
        "has bytes that do not decode",
    ),
    "atomic": ("a.inter", "user_id:token\titem_id:token\na\tx\na\n", 3, "1 fields where"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_stops_the_import_and_leaves_nothing(tmp_path, kind):
    name, text, row, reason = BAD[kind]
    src = put(tmp_path / name, text)
    with pytest.raises(DataError, match=f"^{name}, row {row}: ") as caught:
        import_data(src, tmp_path / "out")
    assert reason in caught.value.message
    assert "--on-bad-rows skip" in caught.value.hint
    assert list(tmp_path.iterdir()) == [src]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_can_be_left_out_and_is_listed(tmp_path, kind):
    name, text, row, reason = BAD[kind]
    report = import_data(put(tmp_path / name, text), tmp_path / "out", on_bad_rows="skip")
    (bad,) = report.skipped
    assert (bad.file, bad.row, report.interactions) == (name, row, 1)
    assert reason in bad.reason
    with (tmp_path / "out/skipped.csv").open(encoding="utf-8", newline="") as file:
        assert [
            BadRow(one["file"], int(one["row"]), one["reason"]) for one in csv.DictReader(file)
        ] == [bad]


def test_an_open_quote_costs_one_row_and_not_the_rest_of_the_file(tmp_path):
    text = 'user_id,item_id,review\na,x,"open\nb,x,fine\nc,x,"closed"\nd,x,\n'
    report = import_data(put(tmp_path / "a.csv", text), tmp_path / "out", on_bad_rows="skip")
    assert [bad.row for bad in report.skipped] == [2]
    assert sorted(read_source(tmp_path / "out").users) == ["b", "c", "d"]


def test_thousands_of_bad_quotes_are_read_over(tmp_path):
    rows = "".join(f'a,i{n},"so" so\nb,i{n},fine\n' for n in range(20_000))
    src = put(tmp_path / "a.csv", f"user_id,item_id,review\n{rows}")
    report = import_data(src, tmp_path / "out", on_bad_rows="skip")
    assert (report.interactions, len(report.skipped)) == (20_000, 20_000)


def test_an_item_listed_twice_is_a_bad_row_of_the_items_file(tmp_path):
    put(tmp_path / "d/interactions.csv", "user_id,item_id\na,x\n")
    put(tmp_path / "d/items.csv", "item_id,title\nx,Ex\nx,Why\n")
    with pytest.raises(DataError, match=r"items\.csv, row 3: item_id 'x' is already in row 2"):
        import_data(tmp_path / "d", tmp_path / "out")
    report = import_data(tmp_path / "d", tmp_path / "out", on_bad_rows="skip")
    assert (report.items, len(report.skipped)) == (1, 1)


def test_an_interaction_with_an_unlisted_item_is_a_bad_row(tmp_path):
    put(tmp_path / "d/interactions.csv", "user_id,item_id\na,x\na,y\n")
    put(tmp_path / "d/items.csv", "item_id,title\nx,Ex\n")
    with pytest.raises(DataError, match=r"interactions\.csv, row 3: unknown id: item_id 'y'"):
        import_data(tmp_path / "d", tmp_path / "out")


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path):
    for name in ("a.parquet", "a.csv.gz"):
        (tmp_path / name).write_bytes(b"neither")
        with pytest.raises(DataError, match=name):
            import_data(tmp_path / name, tmp_path / "out")


def test_a_header_in_another_encoding_asks_for_it(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,item_id\na,x\n", encoding="utf-16")
    with pytest.raises(DataError, match="the header does not decode") as caught:
        import_data(src, tmp_path / "out")
    assert "--encoding" in caught.value.hint
    assert bare(src, tmp_path / "out", encoding="utf-16") == [("a", "x")]


def test_an_unknown_format_ending_encoding_or_mode_is_refused(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,item_id\na,x\n")
    for options in ({"format": "xml"}, {"encoding": "utf-9"}, {"on_bad_rows": "ignore"}):
        with pytest.raises(UsageError):
            import_data(src, tmp_path / "out", **options)
    with pytest.raises(DataError, match=r"a\.xlsx cannot be told"):
        import_data(put(tmp_path / "a.xlsx", "?"), tmp_path / "out")


def test_a_target_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,item_id\na,x\n")
    mine = put(tmp_path / "out/mine.txt", "mine")
    with pytest.raises(DataError, match="exists and is not empty"):
        import_data(src, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == [mine]


def test_an_empty_target_folder_is_used(tmp_path):
    (tmp_path / "out").mkdir()
    assert bare(put(tmp_path / "a.csv", "user,item\na,x\n"), tmp_path / "out") == [("a", "x")]


def test_a_file_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="No interaction is left"):
        import_data(put(tmp_path / "a.csv", "user_id,item_id\n"), tmp_path / "out")


# RecBole

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\treview:token_seq\n"
ITEM = "item_id:token\tmovie_title:token_seq\tclass:token_seq\nx\tToy Story\tAnimation Comedy\n"


@pytest.mark.parametrize("src", ["ml", "ml/ml", "ml/ml.inter"])
def test_recbole_is_found_by_folder_prefix_or_file(tmp_path, src):
    put(tmp_path / "ml/ml.inter", INTER + 'a\tx\t4\t100\tso "good" it is\n')
    put(tmp_path / "ml/ml.item", ITEM)
    put(tmp_path / "ml/ml.user", "user_id:token\tage:token\na\t24\n")
    rows = brought(tmp_path / src, tmp_path / "out")
    assert rows == [("a", "x", 4.0, 100.0, 'so "good" it is', None)]
    source = read_source(tmp_path / "out")
    assert source.items["x"].texts == {"title": "Toy Story", "class": "Animation, Comedy"}
    assert source.users["a"].texts == {"age": "24"}


def test_recbole_benchmark_files_are_the_split(tmp_path):
    for part, item in (("train", "x"), ("valid", "y"), ("test", "z")):
        put(tmp_path / f"ml/ml.{part}.inter", f"user_id:token\titem_id:token\na\t{item}\n")
    report = import_data(tmp_path / "ml", tmp_path / "out")
    assert report.splits == {"train": 1, "val": 1, "test": 1}
    split = read_split(tmp_path / "out", tmp_path / "home", 1)
    assert split == {"train": [("a", "x")], "val": [("a", "y")], "test": [("a", "z")]}


def test_two_recbole_datasets_in_one_folder_are_refused(tmp_path):
    for name in ("one", "two"):
        put(tmp_path / f"d/{name}.inter", "user_id:token\titem_id:token\na\tx\n")
    with pytest.raises(DataError, match=r"2 RecBole datasets \(one, two\)"):
        import_data(tmp_path / "d", tmp_path / "out")


# Amazon

OLD = {"reviewerID": "A1", "asin": "B1", "reviewerName": "Ann", "helpful": [0, 1]} | {
    "reviewText": "It broke.",
    "summary": "Bad",
    "overall": 2.0,
    "unixReviewTime": 1095465600,
}
NEW = {"user_id": "A1", "parent_asin": "B1", "asin": "B0", "rating": 2.0} | {
    "text": "It broke.",
    "title": "Bad",
    "timestamp": 1095465600000,
}


@pytest.mark.parametrize("review", [OLD, NEW], ids=["2014", "2023"])
def test_amazon_reviews_are_recognised(tmp_path, review):
    src = put(tmp_path / "reviews.json.gz", json.dumps(review) + "\n")
    assert brought(src, tmp_path / "out") == [("A1", "B1", 2.0, 1095465600.0, "It broke.", "Bad")]


@pytest.mark.parametrize("loose", [False, True], ids=["json", "loose"])
def test_amazon_items_keep_what_describes_them_and_nothing_summed_over_ratings(tmp_path, loose):
    item = {"asin": "B1", "title": "Bob's Wah", "description": ["A pedal.", "Loud."]} | {
        "categories": [["Music", "Pedals"]],
        "price": 9.5,
        "salesRank": {"Music": 3},
        "related": {"also_bought": ["B2"]},
        "average_rating": 4.2,
    }
    reviews = put(tmp_path / "reviews.json", json.dumps(OLD) + "\n")
    meta = put(tmp_path / "meta.json.gz", (repr(item) if loose else json.dumps(item)) + "\n")
    import_data(reviews, tmp_path / "out", items=meta)
    assert read_source(tmp_path / "out").items["B1"].texts == {
        "title": "Bob's Wah",
        "description": "A pedal. Loud.",
        "categories": "Music, Pedals",
        "price": "9.5",
    }


# Our layout, there and back


def test_parts_without_a_whole_are_interactions_with_a_split(tmp_path):
    for name, item in (("train", "x"), ("valid", "y"), ("test", "z")):
        put(tmp_path / f"d/{name}.csv", f"user,item,rating\na,{item},5\n")
    report = import_data(tmp_path / "d", tmp_path / "out")
    assert (report.interactions, report.splits) == (3, {"train": 1, "val": 1, "test": 1})


def test_a_split_column_becomes_files(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,item_id,split\na,x,train\na,y,validation\nb,x,test\n")
    assert import_data(src, tmp_path / "out").splits == {"train": 1, "val": 1, "test": 1}


def test_dataset_yaml_comes_along(tmp_path):
    put(tmp_path / "d/interactions.csv", "user_id,item_id\na,x\n")
    put(tmp_path / "d/dataset.yaml", "domain: game\n")
    import_data(tmp_path / "d", tmp_path / "out")
    assert describe(tmp_path / "out")["domain"] == "game"


SAMPLES = ("naïve", 'say "so", ok', "two\nlines", "cr\r\nlf", "שלום עולם", "مرحبا", "😀;\t|", " x ")
words = (
    st.sampled_from(SAMPLES)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
).filter(lambda text: text and not text.isspace())
texts = st.none() | words
numbers = st.none() | st.floats(-1e9, 1e9)
COLUMNS = ("rating", "timestamp", "review", "summary")
tries = count()


@st.composite
def folders(draw):
    """Interactions, items, users and (maybe) a split, as rows of a data folder."""
    pairs = draw(st.lists(st.tuples(words, words), min_size=1, max_size=6, unique=True))
    cells = st.tuples(numbers, numbers, texts, texts)
    interactions = [
        {"user_id": user, "item_id": item} | dict(zip(COLUMNS, draw(cells), strict=True))
        for user, item in pairs
    ]
    items = [
        {"item_id": id, "title": draw(texts), "description": draw(texts), "genre": draw(texts)}
        for id in dict.fromkeys(item for _, item in pairs)
    ]
    users = [
        {"user_id": id, "town": draw(texts)} for id in dict.fromkeys(user for user, _ in pairs)
    ]
    home = draw(st.lists(st.sampled_from(("train", "val", "test")), min_size=6, max_size=6))
    split = {
        part: [
            {"user_id": user, "item_id": item}
            for (user, item), one in zip(pairs, home, strict=False)
            if one == part
        ]
        for part in ("train", "val", "test")
    }
    return {"interactions": interactions, "items": items, "users": users} | (
        split if draw(st.booleans()) else {}
    )


def as_csv(path, names, rows):
    with path.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def as_jsonl(path, names, rows):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.with_suffix(".jsonl").write_text(text, "utf-8", newline="\n")


def as_parquet(path, names, rows):
    table = pa.table({name: [row[name] for row in rows] for name in names})
    pq.write_table(table, path.with_suffix(".parquet"))


def whole(folder):
    source = read_source(folder)
    rows = sorted(tuple(row)[:6] for row in source.rows)
    parts = source.parts and {part: sorted(pairs) for part, pairs in source.parts.items()}
    entities = (
        {id: one.texts for id, one in some.items()} for some in (source.items, source.users)
    )
    return rows, *entities, parts


@pytest.mark.parametrize("export", [as_csv, as_jsonl, as_parquet])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(folders())
def test_what_is_exported_and_imported_is_the_same(tmp_path, export, tables):
    folder, out = tmp_path / f"in{next(tries)}", tmp_path / f"out{next(tries)}"
    folder.mkdir()
    for name, rows in tables.items():
        names = list(rows[0]) if rows else ["user_id", "item_id"]
        export(folder / name, names, rows)
    import_data(folder, out)
    assert whole(out) == whole(folder)
    given_rows = sorted(tuple(row.values()) for row in tables["interactions"])
    assert whole(out)[0] == given_rows
    digests = [load_training(one, tmp_path / f"h{next(tries)}", 1).digest for one in (folder, out)]
    assert digests[0] == digests[1]


def test_dates_of_json_mean_utc(tmp_path):
    src = put(tmp_path / "a.jsonl", '{"user": "a", "item": "x", "date": "2020-01-02"}\n')
    assert brought(src, tmp_path / "out")[0][3] == datetime(2020, 1, 2, tzinfo=UTC).timestamp()


def test_real_reviews_survive_the_way_through_csv(tmp_path):
    real = Path(__file__).parents[2] / "shared" / "data" / "amazon_instruments"
    if not real.is_dir():
        pytest.skip("the research data amazon_instruments is not on this machine")
    rows = pq.read_table(real / "interactions.parquet").to_pylist()
    (tmp_path / "d").mkdir()
    as_csv(tmp_path / "d/interactions", list(rows[0]), rows)
    report = import_data(tmp_path / "d", tmp_path / "out")
    assert (report.users, report.items, report.interactions) == (1429, 900, 10261)
    assert whole(tmp_path / "out")[0] == whole(real)[0]
