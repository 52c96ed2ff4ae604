"""How text that strangers and models wrote is put on the page: as text, whole, and visible.

Nothing of it becomes markup. Characters that a reader cannot see but a model can (direction
overrides, zero-width characters, control codes) are shown by their number.
"""

import re

from markupsafe import Markup, escape

from prompts.languages import LANGUAGES

# Joiners (U+200C, U+200D) and variation selectors are needed to write; these are not.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u2064\u2066-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_FENCED = re.compile(r"⟦[\w ]{1,40}: [^⟦⟧]*⟧")


def shown(text: str) -> Markup:
    """The text escaped, each hidden character as its number in a frame of its own."""
    parts: list[Markup] = []
    position = 0
    for found in _HIDDEN.finditer(text):
        parts.append(escape(text[position : found.start()]))
        parts.append(Markup('<span class="hidden-sign">U+{:04X}</span>').format(ord(found[0])))
        position = found.end()
    parts.append(escape(text[position:]))
    return Markup("").join(parts)


def visible(text: str) -> str:
    """The text without hidden characters, for the title of a window: there is no markup there."""
    return " ".join(_HIDDEN.sub(" ", text).split())


def fenced(text: str) -> Markup:
    """A message as it was sent; what the prompt fenced off as data (⟦ … ⟧) stands out."""
    parts: list[Markup] = []
    position = 0
    for found in _FENCED.finditer(text):
        parts.append(shown(text[position : found.start()]))
        parts.append(Markup('<bdi class="fenced">{}</bdi>').format(shown(found[0])))
        position = found.end()
    parts.append(shown(text[position:]))
    return Markup("").join(parts)


def language_code(name: object) -> str:
    """The code for an HTML `lang`, from a language's English name or code; "" where unknown.

    It decides which glyphs are right, how lines break and what a reader-aloud says.
    """
    plain = str(name or "").strip().casefold()
    if plain in LANGUAGES:
        return LANGUAGES[plain]
    return plain if re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", plain) else ""


def excerpt(text: str, most: int = 160) -> str:
    """The beginning of a text in one line, cut after a word and marked with `…`."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    cut = line.rfind(" ", most // 2, most)
    return line[: cut if cut > 0 else most].rstrip() + "…"
