"""Import: what ids, headers and values mean, and the formats of others."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from errors import DataError, UsageError
from stores.datasets import read_split
from stores.formats.importing import import_data
from stores.formats.layout import read_source
from tests.sources import bare, brought, put

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


@pytest.mark.parametrize("word", ["None", "nan", "NaN", "null", "NULL", "<NA>"])
def test_a_word_for_nothing_is_no_text_but_may_be_an_id(tmp_path, word):
    interactions = put(tmp_path / "a.csv", f"user_id,item_id,review\n{word},1,{word}\n")
    items = put(tmp_path / "b.csv", f"item_id,title,description\n1,{word},Nothing but None.\n")
    import_data(interactions, tmp_path / "out", items=items)
    found = read_source(tmp_path / "out")
    ((user, item, *_),) = found.rows
    assert (user, item, found.rows[0].review) == (word, "1", None)
    assert found.items["1"].texts == {"description": "Nothing but None."}


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
    assert import_data(src, tmp_path / "again", min_rating=4).rated_lower == 2


def test_columns_of_interactions_that_nothing_is_read_from_are_told(tmp_path):
    src = put(tmp_path / "a.csv", "user_id,helpful,item_id,title,stars\na,3,x,A book,5\n")
    report = import_data(src, tmp_path / "out", columns={"rating": "stars"})
    assert report.left_behind == ("helpful", "title")


def test_a_split_file_may_name_what_the_rating_dropped(tmp_path):
    put(tmp_path / "d/interactions.csv", "user_id,item_id,rating\na,x,5\na,y,1\nb,y,5\n")
    put(tmp_path / "d/train.csv", "user_id,item_id\na,x\na,y\n")
    put(tmp_path / "d/test.csv", "user_id,item_id\nb,y\n")
    report = import_data(tmp_path / "d", tmp_path / "out", min_rating=4)
    assert report.splits == {"train": 1, "val": 0, "test": 1}


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


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("the &#34;wah&#34; &amp; more", 'the "wah" & more'),
        ("one<br />two<BR>three", "one\ntwo\nthree"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;", "<script>alert(1)</script>"),
        ("&amp;lt;br&amp;gt; &#38;#34;", "&lt;br&gt; &#34;"),
        ("&lt;br /&gt;", "<br />"),
        ("?a=1&copy=2, AT&T, R&B; D&notit;", "?a=1&copy=2, AT&T, R&B; D&notit;"),
        ("&oacute;&#x2019;&hellip;", "ó’…"),
        ("a&#0;b&#xD800;c", "a\ufffdb\ufffdc"),
    ],
)
def test_texts_that_amazon_cut_out_of_web_pages_are_read_as_they_were_shown(
    tmp_path, written, read
):
    """Once, in texts and never in ids."""
    review = OLD | {"reviewerID": "A&#34;1", "reviewText": written, "summary": written}
    item = {"asin": "B1", "title": written, "description": [written], "categories": [[written]]}
    src = put(tmp_path / "reviews.json", json.dumps(review) + "\n")
    meta = put(tmp_path / "meta.json", json.dumps(item) + "\n")
    import_data(src, tmp_path / "out", items=meta)
    found = read_source(tmp_path / "out")
    (row,) = found.rows
    assert (row.user, row.review, row.summary) == ("A&#34;1", read, read)
    texts = found.items["B1"].texts
    assert set(texts) == {"title", "description", "categories"} and {*texts.values()} == {read}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_text_of_another_format_stays_as_it_is_also_where_it_looks_like_html(tmp_path, suffix):
    body = {"user_id": "a", "item_id": "x", "review": "&#34;ok&#34;<br />"}
    table = "\n".join(map(",".join, (body, body.values())))
    lines = json.dumps(body) if suffix == ".jsonl" else table
    src = put(tmp_path / f"mine{suffix}", lines + "\n")
    assert brought(src, tmp_path / "out")[0][4] == body["review"]


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
