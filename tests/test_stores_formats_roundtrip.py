"""Import: whatever comes in our own layout comes out as it was."""

import csv
import json
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores.datasets import describe, load_training
from stores.formats.importing import import_data
from stores.formats.layout import read_source
from stores.formats.values import MISSING
from tests.sources import brought, put


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
).filter(lambda text: text and not text.isspace() and text not in MISSING)
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
