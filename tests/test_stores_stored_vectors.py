"""Embeddings read back without an embedder: the same as the embedder's own, and beside a writer."""

import numpy as np
import pytest

from errors import StoreError
from stores.connection import Connection
from stores.embedders.openai import OpenAIEmbedder
from stores.stored_vectors import known_vectors, paragraphs
from stores.vectors import Vectors, windows

TEXTS = [
    "Likes mud.",
    "Likes mud.\n\nAnd the sea.",
    "Likes mud.\n\nAnd the sea.\n\nAnd lighthouses.",
]


@pytest.fixture
def embedder(far_side):
    return OpenAIEmbedder(Connection("openai", "far", url=far_side().url))


def test_descriptions_read_back_are_what_the_embedder_said(tmp_path, embedder):
    path = tmp_path / "vectors.sqlite"
    with Vectors(path, embedder) as vectors:
        wanted = vectors.embed(TEXTS)
    places, found = known_vectors(path, embedder.name, TEXTS)
    assert places == [0, 1, 2]
    np.testing.assert_array_equal(found, wanted)


def test_a_text_with_a_paragraph_that_was_never_embedded_is_not_known(tmp_path, embedder):
    path = tmp_path / "vectors.sqlite"
    with Vectors(path, embedder) as vectors:
        vectors.embed(TEXTS[:2])
    places, found = known_vectors(path, embedder.name, [TEXTS[2], TEXTS[1], "", "Something else."])
    assert places == [1] and found.shape == (1, 16)


def test_another_embedders_vectors_are_not_taken(tmp_path, embedder):
    path = tmp_path / "vectors.sqlite"
    with Vectors(path, embedder) as vectors:
        vectors.embed(TEXTS)
    assert known_vectors(path, "minilm", TEXTS)[0] == []


def test_a_text_that_was_embedded_in_windows_is_known_with_the_same_windows(tmp_path, embedder):
    path, long = tmp_path / "vectors.sqlite", "A sentence of some words. " * 900
    with Vectors(path, embedder) as vectors:
        wanted = vectors.embed([long])
    assert known_vectors(path, embedder.name, [long])[0] == []
    places, found = known_vectors(
        path, embedder.name, [long], lambda text: windows(text, embedder.window, embedder.count)
    )
    assert places == [0]
    np.testing.assert_array_equal(found, wanted)


def test_without_a_file_nothing_is_known(tmp_path):
    places, found = known_vectors(tmp_path / "vectors.sqlite", "minilm", TEXTS)
    assert places == [] and found.size == 0


def test_a_damaged_file_is_told(tmp_path):
    path = tmp_path / "vectors.sqlite"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)
    with pytest.raises(StoreError, match="cannot be read"):
        known_vectors(path, "minilm", TEXTS)


def test_paragraphs_are_stripped_and_empty_ones_left_out():
    assert paragraphs(" one \n\n\n\n two\nlines\n\n") == ["one", "two\nlines"]
