"""Export: what a refine wrote, as parquet and for RLMRec, read back; and what is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from errors import DataError, StoreError, UsageError
from stores import runs
from stores.datasets import read_split
from stores.descriptions import Descriptions
from stores.embeddings_file import read_embeddings
from stores.exports.material import Layer
from stores.exports.reasons import reasons
from stores.formats.importing import import_data
from stores.formats.layout import read_source
from stores.pickles import read_pickle
from tests.exports import arrays_of, go, stored

# Parquet


def test_parquet_holds_every_description_with_its_embedding(place, tmp_path):
    done = go(place, tmp_path / "out", "parquet")
    assert done.files == [tmp_path / "out" / "descriptions.parquet"]
    table = pq.read_table(done.files[0])
    assert str(table.schema.field("vector").type) == "list<element: float>"
    by_layer = {}
    for row in table.to_pylist():
        by_layer.setdefault((row["kind"], row["hop"]), []).append(row)
    assert len(by_layer) == 4 and done.counts["descriptions"] == len(table) == 100
    assert {row["status"] for row in table.to_pylist()} >= {"written", "fallback"}
    for (kind, hop), found in by_layer.items():
        rows, vectors = stored(place[1], kind, hop)
        assert [one["node"] for one in found] == [row.node for row in rows]
        for one, row in zip(found, rows, strict=True):
            assert one["node"] == f"{one['kind']}:{one['id']}" and one["text"] == row.text
            assert {k: one[k] for k in row.metadata} == dict(row.metadata)
            assert one["embedder"].startswith("openai:far@")
            assert np.array_equal(np.array(one["vector"], np.float32), vectors[row.node])


def test_one_hop_of_parquet_is_what_training_reads(place, tmp_path):
    go(place, tmp_path / "out", "parquet", hop=0)
    arrays = arrays_of(place)
    text = read_embeddings(tmp_path / "out" / "descriptions.parquet", place[0], arrays)
    vectors = {**stored(place[1], "user", 0)[1], **stored(place[1], "item", 0)[1]}
    assert np.array_equal(text, np.stack([vectors[node] for node in arrays.nodes]))


def test_embeddings_of_several_hops_in_one_file_are_refused(place, tmp_path):
    go(place, tmp_path / "out", "parquet")
    with pytest.raises(DataError, match="names some nodes more than once"):
        read_embeddings(tmp_path / "out" / "descriptions.parquet", place[0], arrays_of(place))


def trained(place, name, finished, seed):
    arrays = arrays_of(place)
    nodes = np.random.default_rng(seed).normal(size=(50, 4)).astype(np.float32)
    (folder := place[1] / "runs" / name).mkdir(parents=True)
    runs.write_embeddings(folder, runs.Embeddings(arrays.users, arrays.items, nodes))
    record = {"name": name, "settled": arrays.settled, "finished": finished}
    runs.write_record(folder, record)
    return nodes


def test_parquet_takes_the_newest_run_along_or_the_one_named(place, tmp_path):
    old, new = trained(place, "old", "2026-01-01", 1), trained(place, "new", "2026-02-01", 2)
    for name, nodes in ((None, new), ("old", old)):
        done = go(place, tmp_path / "out", "parquet", run=name)
        assert done.counts["run"] == (name or "new")
        file = tmp_path / "out" / "trained.parquet"
        assert np.array_equal(read_embeddings(file, place[0], arrays_of(place)), nodes)


def test_a_run_can_be_exported_without_any_description(place, tmp_path):
    trained(place, "old", "2026-01-01", 1)
    shutil.rmtree(place[1] / "chroma")
    done = go(place, tmp_path / "out", "parquet")
    assert [path.name for path in done.files] == ["trained.parquet"]
    assert not (place[1] / "chroma").exists()


# RLMRec


def rows_of(file):
    return list(map(json.loads, file.read_text("utf-8").splitlines()))


def test_rlmrec_profiles_are_texts_with_the_reasons_that_the_ledger_knows(place, tmp_path):
    go(place, tmp_path / "out", "rlmrec")
    for name, kind in (("usr", "user"), ("itm", "item")):
        profiles = read_pickle(tmp_path / "out" / f"{name}_prf.pkl")
        ids = [row[f"{kind}_id"] for row in rows_of(tmp_path / "out" / f"out_{kind}.json")]
        rows = {row.node: row for row in stored(place[1], kind, 1)[0]}
        assert list(profiles) == list(range(len(ids)))
        for row, id in enumerate(ids):
            found = rows[f"{kind}:{id}"]
            why = "Several neighbours say so." if found.metadata["status"] == "written" else ""
            assert profiles[row] == {"profile": found.text, "reasoning": why}


def test_a_reason_goes_with_the_text_it_was_given_for(place):
    ledger = place[1] / "ledger.sqlite"
    rows, vectors = stored(place[1], "item", 0)
    first = Layer(0, rows, np.stack(list(vectors.values())))
    known = reasons(ledger, first)
    assert "Several neighbours say so." in known
    assert reasons(ledger, replace(first, hop=1)) == known, "a hop may leave a text as it was"
    shared = replace(first, rows=[replace(row, node="item:twin") for row in rows])
    assert reasons(ledger, shared) == known, "nodes with equal evidence share an answer"
    other = replace(first, rows=[replace(row, text="Another text.") for row in rows])
    assert set(reasons(ledger, other)) == {""}


def test_without_a_ledger_reasons_are_empty(place, tmp_path):
    for file in place[1].glob("ledger.sqlite*"):
        file.unlink()
    go(place, tmp_path / "out", "rlmrec", hop=0)
    profiles = read_pickle(tmp_path / "out" / "usr_prf.pkl")
    assert {one["reasoning"] for one in profiles.values()} == {""}
    assert not (place[1] / "ledger.sqlite").exists()


def test_rlmrec_embeddings_are_read_back_by_training_bit_for_bit(place, tmp_path):
    go(place, tmp_path / "out", "rlmrec", hop=1)
    arrays = arrays_of(place)
    vectors = {**stored(place[1], "user", 1)[1], **stored(place[1], "item", 1)[1]}
    text = read_embeddings(tmp_path / "out", place[0], arrays)
    assert np.array_equal(text, np.stack([vectors[node] for node in arrays.nodes]))


def test_rlmrec_matrices_and_mappers_are_imported_as_the_data_they_came_from(place, tmp_path):
    go(place, tmp_path / "out", "rlmrec")
    matrix = read_pickle(tmp_path / "out" / "trn_mat.pkl")
    assert matrix.shape == (30, 20) and set(matrix.data) == {1.0}
    import_data(tmp_path / "out", tmp_path / "again")
    again = read_split(tmp_path / "again", tmp_path / "home", 0)
    assert again == read_split(place[0], place[1] / "split", 0)


def test_rlmrec_rows_are_the_row_numbers_of_the_data(place, tmp_path):
    lines = [json.loads(line) for line in (place[0] / "users.jsonl").read_text().splitlines()]
    numbered = [{**line, "uid": (row * 7) % 30} for row, line in enumerate(lines)]
    (place[0] / "users.jsonl").write_text("".join(json.dumps(one) + "\n" for one in numbered))
    go(place, tmp_path / "out", "rlmrec")
    uids = {one["user_id"]: one["uid"] for one in numbered}
    listed = rows_of(tmp_path / "out" / "out_user.json")
    assert {row["user_id"]: row["uid"] for row in listed} == uids
    import_data(tmp_path / "out", tmp_path / "again")
    assert read_source(tmp_path / "again").users["u1"].texts == {"uid": "7"}


# What is refused, and what is left


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"format": "csv"}, UsageError, "Unknown export format 'csv'"),
        ({"format": "parquet", "hop": 4}, UsageError, "--hop 4: .* has hops 0, 1"),
        ({"format": "rlmrec", "hop": 4}, UsageError, "--hop 4: .* has hops 0, 1"),
        ({"format": "parquet", "run": "best"}, UsageError, "No finished run 'best'"),
        ({"format": "recbole", "run": "best"}, UsageError, "--run is for --format parquet"),
    ],
)
def test_what_is_not_there_is_told_and_nothing_is_left(place, tmp_path, asked, error, told):
    with pytest.raises(error, match=told):
        go(place, tmp_path / "out", **asked)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "ws"}


@pytest.mark.parametrize("format", ["parquet", "rlmrec", "recbole"])
def test_a_workspace_without_descriptions_leads_to_refine(place, tmp_path, format):
    shutil.rmtree(place[1] / "chroma")
    with pytest.raises(UsageError) as caught:
        go(place, tmp_path / "out", format)
    assert "python cli.py refine" in caught.value.hint


def test_items_alone_are_too_little_for_rlmrec(place, tmp_path):
    found = Descriptions(place[1] / "chroma")
    for hop in (0, 1):
        found._client.delete_collection(f"user-hop-{hop}")
    found.close()
    with pytest.raises(UsageError, match="has descriptions of both users and items"):
        go(place, tmp_path / "out", "rlmrec")


@pytest.mark.parametrize("format", ["rlmrec", "recbole"])
def test_a_node_without_a_description_is_named(place, tmp_path, format):
    found = Descriptions(place[1] / "chroma")
    found._collection("user", 1).delete(ids=["user:u3", "user:u4"])
    found.close()
    with pytest.raises(DataError, match=r"2 of 30 users have no description at hop 1: user:u3, "):
        go(place, tmp_path / "out", format)
    assert go(place, tmp_path / "out", "parquet").counts["descriptions"] == 98


def test_an_earlier_export_of_the_format_is_replaced_as_a_whole(place, tmp_path):
    trained(place, "old", "2026-01-01", 1)
    assert len(go(place, tmp_path / "out", "parquet").files) == 2
    shutil.rmtree(place[1] / "runs")
    assert len(go(place, tmp_path / "out", "parquet").files) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"data", "ws", "out"}


def test_a_folder_that_holds_anything_else_is_left_alone(place, tmp_path):
    go(place, tmp_path / "out", "rlmrec")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(DataError, match="exists and is not empty"):
        go(place, tmp_path / "out", "parquet")
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="is a file"):
        go(place, tmp_path / "file", "parquet")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_told(place, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises((DataError, StoreError), match="cannot be made"):
        go(place, tmp_path / "file" / "out", "parquet")


# The verb


def test_the_verb_says_which_files_it_wrote(cli, place, tmp_path):
    words = ["export", "--data", place[0], "--workspace", place[1]]
    done = cli(*words, "--format", "rlmrec", "--out", "given", "--json")
    assert done.code == 0, done.err
    assert done.summary["counts"]["users"] == 30 and done.summary["counts"]["train"] == 120
    home = tmp_path / "home"
    assert sorted(home / file for file in done.summary["files"]) == sorted(
        (home / "given").iterdir()
    )
    assert len(done.summary["files"]) == 9
    refused = cli(*words, "--out", "given")
    assert refused.code == 2 and "not empty" in refused.err and "Traceback" not in refused.err


def test_training_takes_the_folder_that_the_verb_wrote(cli, place):
    words = ["--data", place[0], "--workspace", place[1]]
    assert cli("export", *words, "--format", "rlmrec", "--out", "given").code == 0
    done = cli(
        *("train", *words, "--align", "contrastive", "--embeddings", "given"),
        *("--epochs", "1", "--batch", "64", "--json"),
    )
    assert done.code == 0, done.err
    assert done.summary["hop"] == "file"
