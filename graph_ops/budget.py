"""Fitting texts into a token budget, without a tokenizer and never in silence."""

import re
from collections.abc import Sequence

CUT = " […]"


def tokens(text: str) -> int:
    """A cautious estimate of a text's tokens: 4 ASCII characters, or 1 other character, a token."""
    plain = len(text.encode("ascii", "ignore"))
    return -(-plain // 4) + (len(text) - plain)


def fit(texts: Sequence[str], budget: int) -> list[str]:
    """Shorten the longest texts until all fit; each text that was cut ends in `[…]`.

    Every text gets an equal share; what short texts leave over goes to the longer ones.
    """
    sizes = [tokens(text) for text in texts]
    if sum(sizes) <= budget:
        return list(texts)
    left, share = budget, 0
    for waiting, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        share = left // waiting
        if size > share:
            break
        left -= size
    return [
        text if size <= share else shorten(text, share)
        for text, size in zip(texts, sizes, strict=True)
    ]


def shorten(text: str, budget: int) -> str:
    """The start of `text` within `budget` tokens, cut after a sentence or a word, and marked.

    Nothing at all where the budget has no room for the mark.
    """
    if tokens(text) <= budget:
        return text
    room = budget - tokens(CUT)
    if room < 0:
        return ""
    start = text[: room * 4]
    while start and tokens(start) > room:
        start = start[: int(len(start) * 0.9)]
    sentence = max(
        (m.end() for m in re.finditer(r"[.!?。！？](?=\s|$)|[。！？]", start)), default=0
    )
    if sentence >= len(start) // 2:
        return start[:sentence] + CUT
    word = start.rfind(" ")
    return start[: word if word > len(start) // 2 else len(start)].rstrip() + CUT
