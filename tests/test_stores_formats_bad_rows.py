"""Import: which rows, files and targets are refused, and what is said of them."""

import csv

import pytest

from errors import DataError, UsageError
from stores.formats.importing import import_data
from stores.formats.layout import read_source
from stores.formats.rows import BadRow
from tests.sources import bare, put

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
