"""Descriptions in a real Chroma, folder and server: rows by node, in order, exact, replaceable."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from errors import StoreError
from stores.chroma import Server
from stores.descriptions import BATCH, Descriptions, Row

Opened = Callable[[], Descriptions]


@pytest.fixture(params=["folder", "server"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens the descriptions of one workspace, wherever they are kept."""
    server = None
    if request.param == "server":
        server = Server(request.getfixturevalue("chroma_url"))
    return lambda: Descriptions(tmp_path / "chroma", server)


def rows(count: int, text: str = "text", **metadata) -> list[Row]:
    return [Row(f"item:{n}", f"{text} {n}", {"hop": 0, **metadata}) for n in range(count)]


def unit_vectors(count: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_vectors_come_back_bit_for_bit_beside_their_own_node(opened: Opened) -> None:
    stored, made = opened(), unit_vectors(5000)
    stored.write("item", 0, rows(5000), made, "e")
    nodes, vectors = opened().vectors("item", 0)
    assert nodes == sorted(f"item:{n}" for n in range(5000))
    assert np.array_equal(vectors, made[[int(node[5:]) for node in nodes]])


def test_writing_a_node_again_replaces_its_text_vector_and_metadata(opened: Opened) -> None:
    stored = opened()
    stored.write("item", 0, rows(10), unit_vectors(10), "e")
    new = unit_vectors(1, seed=1)
    stored.write("item", 0, [Row("item:3", "better", {"hop": 0, "status": "written"})], new, "e")
    nodes, vectors = stored.vectors("item", 0)
    assert len(nodes) == 10
    assert stored.texts("item", 0)["item:3"] == "better"
    assert np.array_equal(vectors[nodes.index("item:3")], new[0])
    assert stored.rows("item", 0)[3].metadata == {"hop": 0, "status": "written"}


def test_a_fingerprint_tells_text_metadata_and_embedder_but_not_the_run() -> None:
    row = Row("item:1", "text", {"hop": 0, "run": "a"})
    assert row.fingerprint("e") == Row("item:1", "text", {"run": "b", "hop": 0}).fingerprint("e")
    others = [Row("item:1", "other", row.metadata), Row("item:1", "text", {"hop": 1, "run": "a"})]
    different = {o.fingerprint("e") for o in others} | {row.fingerprint("e"), row.fingerprint("f")}
    assert len(different) == 4


def test_an_embedder_of_another_width_starts_the_hop_anew(opened: Opened) -> None:
    stored = opened()
    stored.write("item", 0, rows(10), unit_vectors(10, 8), "narrow")
    stored.write("item", 0, rows(4), unit_vectors(4, 16), "wide")
    nodes, vectors = stored.vectors("item", 0)
    assert (len(nodes), vectors.shape) == (4, (4, 16))


def test_hops_above_are_dropped_and_the_others_stay(opened: Opened) -> None:
    stored = opened()
    for hop in range(3):
        stored.write("item", hop, rows(3), unit_vectors(3), "e")
    assert stored.drop_above(1) == [2]
    assert stored.texts("item", 1) and not stored.texts("item", 2)
    assert not opened().texts("item", 2)


def test_a_hop_that_was_never_written_is_empty(opened: Opened) -> None:
    stored = opened()
    assert stored.texts("user", 7) == {} and stored.fingerprints("user", 7) == {}
    assert stored.vectors("user", 7)[0] == []


def test_rows_come_in_batches_that_are_the_whole_layer(opened: Opened) -> None:
    stored = opened()
    stored.write("item", 0, rows(4500), unit_vectors(4500), "e")
    sizes = [len(some) for some in stored.batches("item", 0)]
    assert max(sizes) == BATCH and sum(sizes) == 4500
    assert len(stored.some("item", 0, stored.nodes("item", 0)[:BATCH])[0]) == BATCH
    assert [row for some in stored.batches("item", 0) for row in some if row.node == "item:7"] == [
        Row("item:7", "text 7", {"hop": 0})
    ]


def test_some_nodes_come_in_the_order_in_which_they_were_named(opened: Opened) -> None:
    stored, made = opened(), unit_vectors(9)
    stored.write("item", 0, rows(9), made, "e")
    found, vectors = stored.some("item", 0, ["item:7", "item:99", "item:2"])
    assert [row.text for row in found] == ["text 7", "text 2"]
    assert np.array_equal(vectors, made[[7, 2]])
    assert stored.some("user", 4, ["user:1"])[0] == []
    assert stored.nodes("item", 0) == [f"item:{n}" for n in range(9)]


def test_a_broken_folder_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"no database" * 999)
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        Descriptions(tmp_path)
    assert "made anew" in caught.value.hint


@pytest.mark.parametrize("file", ["header.bin", "data_level0.bin", "index_metadata.pickle"])
@pytest.mark.parametrize("how", ["gone", "garbled"])
def test_a_damaged_index_is_told_when_the_folder_is_opened(tmp_path: Path, file, how) -> None:
    # Chroma writes the index of a collection to disk when it has a thousand rows.
    stored = Descriptions(tmp_path / "whole")
    stored.write("item", 0, rows(1200), unit_vectors(1200), "e")
    stored.close()
    # A copy, because Chroma keeps what it once opened.
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    (path,) = (tmp_path / "damaged").glob(f"*/{file}")
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(random.Random(1).randbytes(path.stat().st_size))
    with pytest.raises(StoreError, match="Chroma folder") as caught:
        Descriptions(tmp_path / "damaged").vectors("item", 0)
    assert "stores rebuild" in caught.value.hint


def test_embeddings_that_are_not_what_was_written_are_told(opened: Opened) -> None:
    stored = opened()
    stored.write("item", 0, rows(1), 3 * unit_vectors(1), "e")
    with pytest.raises(StoreError, match="damaged"):
        stored.vectors("item", 0)
