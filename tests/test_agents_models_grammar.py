"""The grammar of our replies: what it lets a model write, and what it refuses to be made for."""

import json
import re

import pytest

from agents.checks import judge, words
from agents.models.base import Answer
from agents.models.grammar import REASONING_WORDS, gbnf, schema_text
from agents.models.sampling import sampling
from agents.replies import Profile, Refinement
from stores.connection import Connection
from stores.gguf import load
from tests.tiny_gguf import make

WORDS = 12
SCHEMA = schema_text(Profile.model_json_schema())


@pytest.fixture(scope="module")
def llm(tiny):
    opened = load(tiny, Connection("llamacpp", threads=1), n_ctx=2048)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def torture(tmp_path_factory):
    path = make(tmp_path_factory.mktemp("models") / "bytes.gguf", raw_bytes=True)
    opened = load(path, Connection("llamacpp", threads=1), n_ctx=4096)
    yield opened
    opened.close()


def write(llm, grammar, seed, temperature=1.0, most=3000):
    """What a model writes under a grammar until it ends, as text."""
    written = []
    llm.reset()
    llm.eval(llm.tokenize(b"tell"))
    with sampling(llm, grammar, temperature, seed) as sampler:
        while (token := sampler.next()) is not None:
            written.append(token)
            assert len(written) < most
            llm.eval([token])
    return llm.detokenize(written).decode("utf-8", "replace")


def allows(llm, text, schema=SCHEMA, max_words=WORDS):
    """Whether the grammar takes exactly this text, end included."""
    with sampling(llm, gbnf(schema, max_words), 0, 1) as sampler:
        for byte in text.encode():
            # A byte a token, as the vocabulary has them after its five special ones.
            if not fits(sampler, 5 + byte):
                return False
            accept(sampler, 5 + byte)
        return fits(sampler, llm.token_eos())


def fits(sampler, token):
    import numpy as np

    return sampler._allowed(np.array([token]), np.zeros(1)).size == 1


def accept(sampler, token):
    import llama_cpp

    llama_cpp.llama_sampler_accept(sampler._grammar, token)


def said(text, reasoning="why not"):
    return json.dumps({"summarization": text, "reasoning": reasoning}, ensure_ascii=False)


# What a model writes


def test_a_hundred_random_replies_fit_the_schema_and_its_word_limits(llm):
    lengths = set()
    for seed in range(1, 121):
        reply = Profile.model_validate_json(write(llm, gbnf(SCHEMA, WORDS), seed))
        assert reply.text == "None" or 3 <= words(reply.text) <= WORDS
        assert 1 <= words(reply.reasoning) <= REASONING_WORDS
        lengths.add(words(reply.text))
    assert WORDS in lengths and len(lengths) > 5


def test_random_bytes_make_replies_of_the_form_and_never_a_control_character(torture):
    unusable = 0
    for seed in range(1, 61):
        text = write(torture, gbnf(SCHEMA, WORDS), seed)
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", text)
        assert words(Profile.model_validate_json(text).text) <= WORDS
        unusable += judge(Answer(text), Profile, WORDS, None).reply is None
    # Bytes that are no UTF-8 and letters that no language has may leave less than three words.
    assert unusable <= 5


def test_the_second_choice_is_what_the_grammar_allows(llm):
    # The likeliest tokens are words; this grammar wants none of them.
    assert write(llm, 'root ::= "~" "~"', 1, temperature=0) == "~~"


# What it allows


@pytest.mark.parametrize(
    "text",
    [
        "three short words",
        "one two three four five six seven eight nine ten eleven twelve",
        "None",
        "None other than these",
        "arts & crafts, 1920s–30s (mostly).",
        'an "honest" back\\slash here',
        "Ein schönes Märchen für Große",
        "что-то очень хорошее",
        "这部电影很好看。",
        "喜欢iPhone手机的人，",
        "「猫が好き」と言う人 です",
        "재미있는 책을 좋아함",
        "تحب الكتب القديمة",
    ],
)
def test_a_description_may_be_written_in_any_language(llm, text):
    assert allows(llm, said(text))
    assert judge(Answer(said(text)), Profile, WORDS, None).reply is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two words",
        "one two three four five six seven eight nine ten eleven twelve thirteen",
        "many  spaces between words",
        " a leading space here",
        "a trailing space here ",
        "nothing but - - -",
        "a" * 50 + " and two more",
        "电影",
        "电影" * 13,
        "猫 is not much",
        "a line\nbreak in it",
        "a link <b>in</b> it",
    ],
)
def test_what_the_check_would_reject_cannot_be_written(llm, text):
    assert not allows(llm, said(text))


@pytest.mark.parametrize(
    "reply",
    [
        '{"summarization": "three \\u0000 short words", "reasoning": "x"}',
        '{"summarization": "three \\ud800 short words", "reasoning": "x"}',
        '{"summarization": "three \\n short words", "reasoning": "x"}',
        '{"reasoning": "x", "summarization": "three short words"}',
        '{"summarization": "three short words"}',
        '{"summarization": "three short words", "reasoning": "x"} and more',
    ],
)
def test_no_other_escape_order_or_addition(llm, reply):
    assert not allows(llm, reply)


def test_refinements_have_a_grammar_of_their_own(llm):
    schema = schema_text(Refinement.model_json_schema())
    assert allows(llm, '{"description": "a thing worth having", "reasoning": "x"}', schema)


# What it refuses to be made for


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": []},
        {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}}, "required": "a"},
        {
            "type": "object",
            "properties": {"a": {"type": "string", "pattern": "^x"}},
            "required": ["a"],
        },
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "required": ["a"],
            "additionalProperties": True,
        },
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/A"}},
            "required": ["a"],
            "$defs": {"A": {"type": "string"}},
        },
        {"type": "object", "properties": {}, "required": []},
    ],
)
def test_a_schema_it_cannot_express_is_an_error(schema):
    with pytest.raises(ValueError, match="no grammar for this schema"):
        gbnf(schema_text(schema), WORDS)


@pytest.mark.parametrize("broken", ["", 'root ::= "open', "root ::= missing", "other ::= [a]"])
def test_a_grammar_that_does_not_parse_is_an_error_and_never_no_grammar(llm, broken):
    with (
        pytest.raises(ValueError, match="does not accept the grammar"),
        sampling(llm, broken, 0, 1),
    ):
        pass
