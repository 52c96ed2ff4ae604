"""Words of texts: what changed from one to the next, where a word stands, which words are new.

Chinese, Japanese and Korean are compared sign by sign, everything else word by word.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cache
from typing import Literal

Kind = Literal["same", "added", "removed"]
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"(?:[{_CJK}]|(?:(?![{_CJK}])\w)+(?:['’\-](?:(?![{_CJK}])\w)+)*|[^\w\s])?\s*")
_WORD = re.compile(rf"(?:(?![{_CJK}\d])\w){{3,}}")
# More pairs of words than this are not compared one by one: it would take seconds.
_MOST_PAIRS = 4_000_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of characters of one kind. `marked`: it is the word that was asked about."""

    kind: Kind
    text: str
    marked: bool = False


def compared(before: str, after: str) -> list[Piece]:
    """What has to be removed from `before` and added to it to get `after`.

    Without its removed pieces the result reads as `after`; without its added ones as `before`, but
    for the spaces between words.
    """
    if after.startswith(before):
        return _whole([Piece("same", before), Piece("added", after[len(before) :])])
    old, new = _tokens(before), _tokens(after)
    if len(old) * len(new) > _MOST_PAIRS:
        return _whole([Piece("removed", before), Piece("added", after)])
    matcher = SequenceMatcher(None, [t.strip() for t in old], [t.strip() for t in new], False)
    pieces: list[Piece] = []
    for step, i1, i2, j1, j2 in matcher.get_opcodes():
        if step == "equal":
            pieces.append(Piece("same", "".join(new[j1:j2])))
        else:
            pieces += [Piece("removed", "".join(old[i1:i2])), Piece("added", "".join(new[j1:j2]))]
    return _whole(_calm(pieces))


def with_marks(pieces: Iterable[Piece], word: str) -> list[Piece]:
    """The pieces cut at each occurrence of a word, which is marked."""
    if not word.strip():
        return list(pieces)
    pattern = pattern_of(word)
    found: list[Piece] = []
    for piece in pieces:
        position = 0
        for hit in pattern.finditer(piece.text):
            found.append(replace(piece, text=piece.text[position : hit.start()]))
            found.append(Piece(piece.kind, hit[0], marked=True))
            position = hit.end()
        found.append(replace(piece, text=piece.text[position:]))
    return _whole(found)


@cache
def pattern_of(word: str) -> re.Pattern[str]:
    """Finds a word or a phrase, whatever its case. Words of five letters match by their stem:
    `patient` finds `patience`. Where words are not set apart by spaces, any place will do.
    """
    plain = " ".join(word.split())
    if re.search(f"[{_CJK}]", plain):
        return re.compile(re.escape(plain), re.IGNORECASE)
    stem = plain[: max(4, len(plain) - 2)] if len(plain) >= 5 and " " not in plain else plain
    body = r"\s+".join(map(re.escape, stem.split()))
    return re.compile(rf"(?<!\w){body}\w*", re.IGNORECASE)


def says(text: str, word: str) -> bool:
    """Whether a text has the word."""
    return bool(pattern_of(word).search(text))


def passages(text: str, word: str, most: int = 2) -> list[list[Piece]]:
    """The sentences of a text that have the word, with the word marked."""
    sentences = re.split(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+", text)
    having = [sentence.strip() for sentence in sentences if says(sentence, word)]
    return [
        with_marks([Piece("same", _around(sentence, word))], word) for sentence in having[:most]
    ]


def new_words(
    before: str, after: str, sources: Sequence[str], language: str = "en", most: int = 8
) -> list[str]:
    """Words of `after` that `before` does not have and that some of `sources` have.

    Those that most sources have come first; words of three letters and more, none of the small ones
    of the language (a code).
    """
    known = {word.casefold() for word in _WORD.findall(before)} | _small_words(language or "en")
    found: dict[str, str] = {}
    for word in _WORD.findall(after):
        if word.casefold() not in known:
            found.setdefault(word.casefold(), word)
    support = {word: sum(says(text, word) for text in sources) for word in list(found)[: most * 12]}
    ranked = sorted((w for w in support if support[w]), key=lambda w: (-support[w], -len(w), w))
    kept: list[str] = []
    for word in ranked:
        if not any(says(word, other) or says(other, word) for other in kept):
            kept.append(word)
    return [found[word] for word in kept[:most]]


def _tokens(text: str) -> list[str]:
    """Words and signs, each with the space behind it; together they are the text."""
    return [found[0] for found in _TOKEN.finditer(text) if found[0]]


def _calm(pieces: list[Piece]) -> list[Piece]:
    """A single word that stayed between two changes is shown as changed: islands hinder reading."""
    found: list[Piece] = []
    for place, piece in enumerate(pieces):
        lone = piece.kind == "same" and len(_tokens(piece.text)) == 1
        if lone and 0 < place < len(pieces) - 1 and len(piece.text.strip()) < 5:
            found += [replace(piece, kind="removed"), replace(piece, kind="added")]
        else:
            found.append(piece)
    return found


def _whole(pieces: Iterable[Piece]) -> list[Piece]:
    """Neighbouring pieces of a kind as one, removed before added, and none that is empty."""
    found: list[Piece] = []
    held: list[Piece] = []
    for piece in [*pieces, Piece("same", "\0")]:
        if not piece.text:
            continue
        if piece.kind != "same":
            held.append(piece)
            continue
        for kind in ("removed", "added"):
            found += _joined([one for one in held if one.kind == kind])
        held = []
        found.append(piece)
    return _joined(found[:-1])


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if last and (last.kind, last.marked) == (piece.kind, piece.marked):
            found[-1] = replace(last, text=last.text + piece.text)
        else:
            found.append(piece)
    return found


def _around(sentence: str, word: str, most: int = 320) -> str:
    """A long sentence cut down to what stands around the word."""
    if len(sentence) <= most:
        return sentence
    hit = pattern_of(word).search(sentence)
    middle = hit.start() if hit else 0
    start = max(0, middle - most // 2)
    end = min(len(sentence), start + most)
    return ("…" if start else "") + sentence[start:end] + ("…" if end < len(sentence) else "")


@cache
def _small_words(language: str) -> frozenset[str]:
    import yake

    return frozenset(yake.KeywordExtractor(lan=language[:2]).stopword_set)
