"""Fitting texts into a budget: never over it, never in silence, never more than needed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_ops.budget import CUT, fit, shorten, tokens

words = st.sampled_from(
    ["a", "reader", "naïve", "読者。", "很喜欢这本书", "قارئ", "🧑‍🚀", "Stop.", "\n", "x" * 50]
)
texts = st.lists(words, max_size=60).map(" ".join) | st.text(max_size=80)
MARK = tokens(CUT)  # what the mark alone takes: 2


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("four", 1), ("fives", 2), ("naïve", 2), ("读者", 2), (" […]", 2), ("🧑‍🚀", 3)],
)
def test_four_plain_characters_or_one_other_count_as_a_token(text, count):
    assert tokens(text) == count


@given(st.lists(texts, max_size=6), st.integers(0, 200))
def test_texts_that_fit_come_back_unchanged(some, spare):
    assert fit(some, sum(map(tokens, some)) + spare) == some


@given(st.lists(texts, min_size=1, max_size=6), st.integers(0, 200))
def test_the_budget_is_kept_whatever_the_script(some, budget):
    # Only where even the mark does not fit into a share is the mark all that is left.
    budget = max(budget, MARK * len(some))
    assert sum(map(tokens, fit(some, budget))) <= budget


@given(texts, st.integers(MARK, 100))
def test_a_cut_text_is_a_start_of_the_text_and_the_mark(text, budget):
    cut = shorten(text, budget)
    if cut != text:
        assert cut.endswith(CUT)
        assert text.startswith(cut.removesuffix(CUT))
        assert tokens(cut) <= budget < tokens(text)


@given(st.lists(texts, min_size=1, max_size=6), st.integers(0, 200))
def test_no_text_is_cut_that_needs_no_more_than_an_equal_share(some, budget):
    for text, fitted in zip(some, fit(some, budget), strict=True):
        assert fitted == text or tokens(text) > budget // len(some)


def test_what_short_texts_leave_over_goes_to_the_long_ones():
    # 40 tokens, 4 for the short text: 36 are left for the long one, 2 of them for the mark.
    short, long = "x" * 16, "y" * 400
    assert fit([short, long], 40) == [short, "y" * 34 * 4 + CUT]


def test_long_texts_get_equal_shares():
    assert fit(["x" * 400, "y" * 800], 44) == ["x" * 80 + CUT, "y" * 80 + CUT]


def test_a_cut_comes_after_a_sentence_where_there_is_one():
    text = "It begins so well. Then it goes on and on until nobody listens."
    assert shorten(text, 9) == "It begins so well." + CUT


def test_a_cut_comes_after_a_chinese_sentence():
    assert shorten("我很喜欢这本书。但是结尾不太好看了", 14) == "我很喜欢这本书。" + CUT


def test_without_a_sentence_a_cut_comes_after_a_word():
    assert shorten("several words without any end in sight at all", 9) == (
        "several words without any" + CUT
    )


def test_a_cut_that_cannot_keep_anything_says_that_there_was_something():
    assert shorten("word " * 30, MARK) == CUT


def test_shortening_twice_changes_nothing_more():
    once = shorten("One sentence here. " * 20, 30)
    assert shorten(once, 30) == once


def test_a_tiny_budget_is_kept():
    assert sum(map(tokens, fit(["x" * 100] * 10, 5))) <= 5
