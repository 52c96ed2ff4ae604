"""Words of texts: what changed, where a word stands, which words are new and from whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viewer.words import Piece, compared, new_words, passages, says, with_marks


def kinds(pieces):
    return [(piece.kind, piece.text) for piece in pieces]


def after_of(pieces):
    return "".join(piece.text for piece in pieces if piece.kind != "removed")


def before_of(pieces):
    return "".join(piece.text for piece in pieces if piece.kind != "added").split()


def test_what_was_put_behind_a_text_is_added_and_nothing_else_changed():
    pieces = compared("Likes mud.", "Likes mud.\n\nAnd the sea.")
    assert kinds(pieces) == [("same", "Likes mud."), ("added", "\n\nAnd the sea.")]


def test_a_word_that_was_replaced_is_removed_and_added_in_its_place():
    pieces = compared("a quiet book of hills", "a bright book of hills")
    assert kinds(pieces) == [
        ("same", "a "), ("removed", "quiet "), ("added", "bright "), ("same", "book of hills"),
    ]  # fmt: skip


def test_chinese_is_compared_sign_by_sign():
    pieces = compared("喜欢安静的山", "喜欢热闹的山")
    assert ("removed", "安静") in kinds(pieces) and ("added", "热闹") in kinds(pieces)
    assert kinds(pieces)[0] == ("same", "喜欢")


def test_a_lone_small_word_between_two_changes_is_shown_as_changed():
    pieces = compared("red and green hills", "blue and black hills")
    assert kinds(pieces) == [
        ("removed", "red and green "), ("added", "blue and black "), ("same", "hills"),
    ]  # fmt: skip


@given(st.text("ab c.\n\u4e2d\u5c71", max_size=40), st.text("ab c.\n\u4e2d\u5c71", max_size=40))
def test_the_pieces_hold_both_texts(before, after):
    pieces = compared(before, after)
    assert after_of(pieces) == after
    assert "".join(before_of(pieces)) == "".join(before.split())


def test_long_texts_with_nothing_in_common_are_not_compared_word_by_word():
    before = " ".join(f"a{n}" for n in range(3000))
    after = " ".join(f"b{n}" for n in range(3000))
    assert [piece.kind for piece in compared(before, after)] == ["removed", "added"]


def test_every_occurrence_of_a_word_is_marked_and_no_text_is_lost():
    pieces = with_marks([Piece("same", "Mud, mud and muddle.")], "mud")
    assert [piece.text for piece in pieces if piece.marked] == ["Mud", "mud", "muddle"]
    assert "".join(piece.text for piece in pieces) == "Mud, mud and muddle."


@pytest.mark.parametrize(
    ("text", "word", "found"),
    [
        ("It has patience.", "patient", True),
        ("It has patients.", "patience", True),
        ("a nightly train", "train", True),
        ("a strained look", "train", False),
        ("a cat", "car", False),
        ("喜欢安静的山", "安静", True),
        ("two  words\napart", "words apart", True),
        ("a (sharp) sign", "(sharp)", True),
    ],
)
def test_a_word_is_found_by_its_stem_at_the_beginning_of_a_word(text, word, found):
    assert says(text, word) is found


def test_a_passage_is_the_sentence_around_the_word():
    found = passages("It rained. The mud was deep! We left.", "mud")
    assert ["".join(piece.text for piece in one) for one in found] == ["The mud was deep!"]


def test_a_very_long_sentence_is_cut_down_to_what_stands_around_the_word():
    text = "word " * 300 + "mud " + "word " * 300
    (found,) = passages(text, "mud")
    shown = "".join(piece.text for piece in found)
    assert len(shown) < 400 and "mud" in shown and shown.startswith("…") and shown.endswith("…")


def test_new_words_are_those_that_sources_have_the_commonest_first():
    sources = ["mountain huts and glaciers", "a mountain in spring", "glaciers of the mountain"]
    found = new_words("Likes huts.", "Likes huts, glaciers, mountain views.", sources)
    assert found == ["mountain", "glaciers"]


def test_small_words_are_never_new():
    assert new_words("", "because their would which", ["because their would which"]) == []
