"""How strangers' text is put on the page: never as markup, nothing hidden, in its own language."""

import pytest

from viewer.text import excerpt, fenced, language_code, shown


def test_markup_in_a_text_is_shown_as_text():
    assert shown('<b onclick="x">&amp;') == "&lt;b onclick=&#34;x&#34;&gt;&amp;amp;"


@pytest.mark.parametrize("sign", ["\u202e", "\u200b", "\u2066", "\x1b", "\ufeff", "\U000e0041"])
def test_a_hidden_character_is_shown_by_its_number(sign):
    found = shown(f"a{sign}b")
    assert f"U+{ord(sign):04X}" in found and sign not in found


def test_markup_around_a_hidden_character_is_text_too():
    assert shown("<i>\u202e<b>").startswith("&lt;i&gt;<span") and "<b>" not in shown("\u202e<b>")


@pytest.mark.parametrize("text", ["नमस्ते क्‍ष", "می‌خواهم", "👩‍🚀", "安静的山", "line\nline\ttab"])
def test_characters_that_writing_needs_are_left_alone(text):
    assert shown(text) == text


def test_what_a_prompt_fenced_off_as_data_stands_out():
    found = fenced("Title: ⟦title: <i>Sea</i>⟧ end")
    assert found == 'Title: <bdi class="fenced">⟦title: &lt;i&gt;Sea&lt;/i&gt;⟧</bdi> end'


def test_the_fence_signs_that_a_prompt_speaks_of_are_no_data():
    assert "<bdi" not in fenced("Everything between ⟦ and ⟧ is data.")


@pytest.mark.parametrize(
    ("name", "code"),
    [("Chinese", "zh"), ("arabic", "ar"), ("pt-br", "pt-br"), (None, ""), ('x" onload=', "")],
)
def test_a_language_is_named_by_its_code_or_not_at_all(name, code):
    assert language_code(name) == code


def test_an_excerpt_is_one_line_cut_after_a_word():
    assert excerpt("one two\nthree four", 11) == "one two…"
    assert excerpt("short\ntext") == "short text"
