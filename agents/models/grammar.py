r"""A grammar (llama.cpp's GBNF) for our reply schemas: flat objects of strings, counted in words.

llama.cpp's own converter lets control characters into strings, bounds a string in characters at
best, and turns a schema it does not understand into a grammar for any JSON. This one raises.

A string is a walk through numbered rules; the number says how many words may still come:

    n9  a word after a space       w8  what may follow a word
    d9  two characters of Chinese, Japanese or Korean, which are a word, or one at the end of a run
    p8  what may follow two of them,  s8  what may follow a single one

The next character always says which way to go. An ambiguous grammar would hold every way open, and
each token would be tried on all of them.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from agents.checks import NOTHING

FEWEST_WORDS = 3
REASONING_WORDS = 60
VERSION = 1
"""Part of the cache key: another grammar would get other answers."""

# What `agents.checks` counts as a word. A word starts with a letter or a digit, so that each one
# counts, and holds nothing that `prompts.untrusted.clean` would turn into a space or compose into
# something else. Escapes are the two that JSON cannot do without. llama.cpp reads bytes that are no
# UTF-8 as characters beyond the last one, hence the end of the second set.
_START = (
    r"0-9A-Za-zªµºÀ-ÖØ-öø-\u02B8\u0370-\u061B\u061D-\u10FF\u1200-\u167F\u1681-\u180D\u180F-\u1FFF"
    r"\u2C00-\u2DFF\uA4D0-\uABFF\uFB00-\uFDCF\uFDF0-\uFDFF\uFE70-\uFEFE\uFF10-\uFF19\uFF21-\uFF3A"
    r"\uFF41-\uFF5A\uFF66-\uFF9F\U00010000-\U0001CFFF\U00020000-\U0002F7FF"
)
_NEVER = (
    r'\x00-\x20"\\<>\[\x7F-\xA0\u1100-\u11FF\u1680\u2000-\u200B\u2028-\u202F\u205F-\u206F\u3000'
    r"\u3040-\u30FF\u3400-\u9FFF\uAC00-\uFAFF\uFF5C\uFFF0-\uFFFF\U0002F800-\U003FFFFF"
)
_CJK = r"\u3041-\u309F\u30A1-\u30FF\u3400-\u9FFF\uAC00-\uD7A3"
_WORD = rf"""
word ::= open? start tail{{0,38}}
open ::= [(#$€£@'‘“„«¿¡] | "\\\""
start ::= [{_START}]
tail ::= [^{_NEVER}] | "\\" ["\\]
sign ::= [&+/=*·•–—-]
cjk ::= [「『《（“]? [{_CJK}] [。，、！？：；」』》）”…]{{0,2}}
"""


@cache
def gbnf(schema: str, max_words: int) -> str:
    """The grammar for a JSON schema: its first string has at most `max_words` words, or is `None`.

    Raises ValueError for a schema that is more than an object of required strings.
    """
    names = _names(json.loads(schema))
    if max_words < FEWEST_WORDS:
        raise ValueError(f"a description of {max_words} words cannot be asked for")
    parts: list[str] = []
    rules: list[str] = []
    for place, name in enumerate(names):
        prefix, fewest, most = f"y{place}", 0, REASONING_WORDS
        if place == 0:
            prefix, fewest, most = "x", FEWEST_WORDS, max_words
        nothing = f"{_literal(NOTHING)} | " if place == 0 else ""
        key = _literal(json.dumps(name) + ": ")
        parts.append(f'{key} "\\"" ({nothing}{prefix}n{most}) "\\""')
        rules += _string(prefix, fewest, most)
    body = ' ", " '.join(parts)
    root = f'root ::= "{{" {body} "}}"'
    return "\n".join([root, *rules]) + _WORD


def schema_text(schema: Mapping[str, Any]) -> str:
    """A schema as `gbnf` takes it; the order of its keys is the order of the reply."""
    return json.dumps(schema)


def _names(schema: dict[str, Any]) -> list[str]:
    """The names of an object's strings, in order."""
    known = {"type", "properties", "required", "title", "description", "additionalProperties"}
    properties = schema.get("properties") or {}
    if (
        schema.get("type") != "object"
        or not properties
        or schema.get("additionalProperties") not in (None, False)
        or not set(schema) <= known
        or schema.get("required") != list(properties)
        or any(not _plain(one) for one in properties.values())
    ):
        raise ValueError(f"no grammar for this schema: {json.dumps(schema)[:500]}")
    return list(properties)


def _plain(schema: Any) -> bool:
    return (
        isinstance(schema, dict)
        and schema.get("type") == "string"
        and set(schema) <= {"type", "title", "description"}
    )


def _string(prefix: str, fewest: int, most: int) -> Iterator[str]:
    """The numbered rules of one string of `fewest` to `most` words."""
    for last in "wps":
        yield f'{prefix}{last}0 ::= ""'
    for left in range(1, most + 1):
        n, w, p, s, d = (f"{prefix}{rule}{left}" for rule in "nwpsd")
        after_word, after_two, after_one = (f"{prefix}{rule}{left - 1}" for rule in "wps")
        written = most - left
        # A single character is half a word, which is not enough where words are still missing.
        single = f" | {after_one}" if written >= fewest else ""
        end = "?" if written >= fewest else ""
        yield f'{n} ::= word {after_word} | {d} | sign " " word {after_word}'
        yield f"{d} ::= cjk (cjk {after_two}{single})"
        yield f'{w} ::= (" " {n} | {d}){end}'
        yield f'{p} ::= (" " {n} | word {after_word} | {d}){end}'
        yield f'{s} ::= (" " {n} | word {after_word}){end}'


def _literal(text: str) -> str:
    """A GBNF literal: its escapes are those of JSON, as far as our names need any."""
    return json.dumps(text, ensure_ascii=False)
