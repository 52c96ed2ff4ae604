"""Export as RecBole's atomic files: read back by us, and by a reader that knows quotes."""

import csv
import json
import re
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import DataError
from stores.datasets import read_split
from stores.descriptions import Row as Described
from stores.exports import recbole
from stores.exports.material import Data, Layer
from stores.formats.importing import import_data
from stores.formats.layout import read_source
from stores.formats.rows import Entity, Row
from stores.formats.values import MISSING
from tests.exports import go, stored


def test_recbole_files_are_imported_as_the_data_they_came_from(place, tmp_path):
    done = go(place, tmp_path / "ml", "recbole")
    names = ("inter", "train.inter", "valid.inter", "test.inter", "item", "user")
    assert {path.name for path in done.files} == {f"ml.{name}" for name in names}
    import_data(tmp_path / "ml", tmp_path / "again")
    ours, theirs = read_source(place[0]), read_source(tmp_path / "again")
    assert sorted(row[:6] for row in theirs.rows) == sorted(row[:6] for row in ours.rows)
    texts = {row.node: row.text.replace("\n", " ") for row in stored(place[1], "item", 1)[0]}
    for id, one in ours.items.items():
        assert theirs.items[id].texts == {**one.texts, "item_text": texts[f"item:{id}"]}
    assert read_split(tmp_path / "again", tmp_path / "home", 0) == read_split(
        place[0], place[1] / "split", 0
    )


def table(file):
    head, *lines = file.read_text("utf-8").split("\n")[:-1]
    names = head.split("\t")
    return names, [dict(zip(names, line.split("\t"), strict=True)) for line in lines]


def test_recbole_vectors_are_exact_and_columns_typed(place, tmp_path):
    go(place, tmp_path / "ml", "recbole", hop=0)
    vectors = stored(place[1], "user", 0)[1]
    names, rows = table(tmp_path / "ml" / "ml.user")
    assert names == ["user_id:token", "user_text:token_seq", "user_embedding:float_seq"]
    for row in rows:
        found = np.array(row["user_embedding:float_seq"].split(" "), dtype=np.float32)
        assert np.array_equal(found, vectors[f"user:{row['user_id:token']}"])
    names, _ = table(tmp_path / "ml" / "ml.inter")
    typed = "user_id:token item_id:token rating:float timestamp:float review:token_seq"
    assert names == typed.split()


SAMPLES = (
    '"so" he said',
    '"open',
    'it "is"',
    "a\tb",
    "two\r\nlines",
    " x ",
    "NA",
    "None",
    "שלום עולם",
    "a, b",
)
words = (
    st.sampled_from(SAMPLES)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
).filter(lambda text: text and not text.isspace())
ids = words.filter(lambda id: not re.search(r'^"|[\t\r\n]', id) and id not in recbole._MISSING)
lists = st.lists(st.text("abc", min_size=1), min_size=2, max_size=3).map(", ".join)
amounts = st.integers(-9, 2030).map(str) | st.sampled_from(["0.5", "1e-3", "-2.25"])
tries = count()


@st.composite
def parts_of_data(draw):
    """Two items with words, lists and amounts, and interactions with all four columns."""
    columns = {"title": words, "description": words, "genres": lists, "year": amounts}
    items = {
        id: Entity(id, {name: draw(cell) for name, cell in columns.items()}, 0)
        for id in draw(st.lists(ids, min_size=2, max_size=3, unique=True))
    }
    users = {
        id: Entity(id, {}, 0) for id in draw(st.lists(ids, min_size=1, max_size=2, unique=True))
    }
    numbers = st.none() | st.floats(-1e9, 1e9)
    rows = [
        Row(user, item, draw(numbers), draw(numbers), draw(st.none() | words), None, None, 0)
        for user in users
        for item in items
    ]
    pairs = [(row.user, row.item) for row in rows]
    return Data(users, items, rows, {"train": pairs[1:], "val": [], "test": pairs[:1]}, "")


def layer(kind, entities):
    rows = [Described(f"{kind}:{id}", 'He said\n\n"so"', {}) for id in entities]
    return Layer(0, rows, np.full((len(rows), 2), 1 / 3, dtype=np.float32))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
    deadline=None,
)
@given(parts_of_data())
def test_any_data_survives_the_way_through_recbole(tmp_path, data):
    folder, out = tmp_path / f"d{next(tries)}", tmp_path / f"o{next(tries)}"
    folder.mkdir()
    described = {"user": layer("user", data.users), "item": layer("item", data.items)}
    recbole.write_files(folder, folder.name, data, described)
    import_data(folder, out)
    found = read_source(out)
    plain = [row._replace(review=row.review and line(row.review)) for row in data.rows]
    assert sorted(row[:6] for row in found.rows) == sorted(row[:6] for row in plain)
    for id, one in data.items.items():
        texts = {k: line(v) if k in ("title", "description") else v for k, v in one.texts.items()}
        expected = {**texts, "item_text": 'He said  "so"'}
        assert found.items[id].texts == {k: v for k, v in expected.items() if v}
    for file in folder.iterdir():
        lines = file.read_bytes().decode().split("\n")[:-1]
        with file.open(encoding="utf-8", newline="") as opened:
            # RecBole reads with pandas, which knows quotes: it must see the same cells.
            assert list(csv.reader(opened, delimiter="\t")) == [one.split("\t") for one in lines]


def line(text):
    """A text as an atomic file holds it: line breaks and tabs are spaces, outer spaces go.

    What is left may be a word for nothing, which every importer takes for a missing value.
    """
    held = re.sub(r"[\t\r\n]", " ", text).strip(" ")
    return None if held in MISSING else held or None


@pytest.mark.parametrize("id", ["NA", "null", "None", '"a', "a\tb", "a\nb"])
def test_ids_that_recbole_would_misread_are_refused(id):
    with pytest.raises(DataError, match="cannot be written for RecBole"):
        recbole.identifier(id, "user")


def test_a_column_that_recbole_cannot_name_is_refused_and_nothing_is_left(place, tmp_path):
    lines = [json.loads(line) for line in (place[0] / "users.jsonl").read_text().splitlines()]
    named = "".join(json.dumps({**line, "schema:town": "Ulm"}) + "\n" for line in lines)
    (place[0] / "users.jsonl").write_text(named)
    with pytest.raises(DataError, match="'schema:town' cannot be written"):
        go(place, tmp_path / "ml", "recbole")
    assert {path.name for path in tmp_path.iterdir()} == {"data", "ws"}
