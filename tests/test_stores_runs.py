"""The folders of training runs: what is written comes back, what is damaged is told."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from errors import StoreError, UsageError
from stores.runs import (
    Embeddings,
    finished,
    named,
    read_embeddings,
    read_record,
    write_embeddings,
    write_record,
)

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
ID = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def record(when="2026-01-01", **more):
    return {"name": "n", "finished": when, "settled": "d", **more}


def run(workspace, name, *args, **more):
    folder = workspace / "runs" / name
    folder.mkdir(parents=True)
    write_record(folder, record(*args, **more))
    return folder


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(WORDS, JSON, max_size=4))
def test_any_record_comes_back_as_it_was(found):
    with TemporaryDirectory() as folder:
        write_record(Path(folder), {**found, **record()})
        assert read_record(Path(folder)) == {**found, **record()}
        assert [path.name for path in Path(folder).iterdir()] == ["run.json"]


@settings(deadline=None, max_examples=60)
@given(st.lists(ID, max_size=4, unique=True), st.lists(ID, max_size=4, unique=True), st.data())
def test_any_embeddings_come_back_bit_by_bit_with_their_ids(users, items, data):
    nodes = data.draw(npst.arrays(np.float32, (len(users) + len(items), 3)))
    with TemporaryDirectory() as folder:
        write_embeddings(Path(folder), Embeddings(users, items, nodes))
        found = read_embeddings(Path(folder), users, items)
        assert [path.name for path in Path(folder).iterdir()] == ["embeddings.npz"]
    assert (found.users, found.items) == (users, items)
    assert found.nodes_ND.tobytes() == nodes.tobytes() and found.nodes_ND.shape == nodes.shape


def written(folder):
    found = Embeddings(["a", "b"], ["x"], np.arange(6, dtype=np.float32).reshape(3, 2))
    write_embeddings(folder, found)
    return folder / "embeddings.npz"


@pytest.mark.parametrize(
    ("users", "items"), [(["b", "a"], ["x"]), (["a"], ["x"]), (["a", "b"], ["y"])]
)
def test_embeddings_of_other_users_and_items_are_refused(users, items, tmp_path):
    written(tmp_path)
    with pytest.raises(StoreError, match="other users and items"):
        read_embeddings(tmp_path, users, items)


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_embeddings_that_are_cut_or_damaged_are_told_or_read(data):
    with TemporaryDirectory() as folder:
        path = written(Path(folder))
        raw = bytearray(path.read_bytes())
        if data.draw(st.booleans(), "cut"):
            raw = raw[: data.draw(st.integers(0, len(raw) - 1), "at")]
        else:
            raw[data.draw(st.integers(0, len(raw) - 1), "at")] ^= data.draw(st.integers(1, 255))
        path.write_bytes(raw)
        try:
            read_embeddings(Path(folder), ["a", "b"], ["x"])
        except StoreError as error:
            assert error.hint == "Train again."


def test_embeddings_that_are_not_there_are_told(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        read_embeddings(tmp_path, [], [])


@pytest.mark.parametrize("missing", ["name", "finished", "settled"])
def test_a_record_of_an_older_version_is_told_with_what_to_do(missing, tmp_path):
    run(tmp_path, "old")
    found = {key: value for key, value in record().items() if key != missing}
    (tmp_path / "runs" / "old" / "run.json").write_text(json.dumps(found), "utf-8")
    with pytest.raises(StoreError, match=f"has no '{missing}'") as error:
        named(tmp_path, "old", "d")
    assert "Repeat the command" in error.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", '"words"', "null", "\ufeff{}"])
def test_a_record_that_is_none_is_told(text, tmp_path):
    (tmp_path / "run.json").write_text(text, "utf-8")
    with pytest.raises(StoreError, match="no record of a training run"):
        read_record(tmp_path)


def test_finished_runs_come_newest_first_and_others_not_at_all(tmp_path):
    run(tmp_path, "old", "2026-01-01T10:00")
    run(tmp_path, "new", "2026-02-01T09:00")
    run(tmp_path, "middle", "2026-01-01T11:00")
    run(tmp_path, "open", None)
    (tmp_path / "runs" / "begun").mkdir()
    assert [folder.name for folder, _ in finished(tmp_path)] == ["new", "middle", "old"]


def test_a_run_is_found_by_its_name_and_the_newest_without_one(tmp_path):
    old, new = run(tmp_path, "old", "2026-01-01"), run(tmp_path, "new", "2026-02-01")
    assert named(tmp_path, "old", "d") == (old, record("2026-01-01"))
    assert named(tmp_path, None, "d") == (new, record("2026-02-01"))


def test_a_run_of_other_data_or_another_split_is_told_and_not_taken(tmp_path):
    run(tmp_path, "old", "2026-01-01")
    with pytest.raises(StoreError, match="old was trained on other data or another split"):
        named(tmp_path, None, "other")
    with pytest.raises(StoreError, match="old was trained on other data or another split"):
        named(tmp_path, "old", "other")


def test_a_damaged_record_is_in_nobodys_way_but_is_told_where_it_is_what_was_asked_for(tmp_path):
    damaged = run(tmp_path, "damaged") / "run.json"
    damaged.write_text("{", "utf-8")
    for name in ("damaged", None):
        with pytest.raises(StoreError, match="is no record") as error:
            named(tmp_path, name, "d")
        assert "Repeat the command" in error.value.hint
    good = run(tmp_path, "good")
    assert named(tmp_path, None, "d")[0] == named(tmp_path, "good", "d")[0] == good


def test_a_name_that_is_not_known_is_answered_with_those_that_are(tmp_path):
    run(tmp_path, "old", "2026-01-01")
    run(tmp_path, "open", None)
    with pytest.raises(UsageError, match="No finished run 'open'") as error:
        named(tmp_path, "open", "d")
    assert error.value.hint == "There are: old."


def test_where_nothing_was_trained_it_is_said_how(tmp_path):
    with pytest.raises(UsageError, match="No training run") as error:
        named(tmp_path, None, "d")
    assert "python cli.py train" in error.value.hint
