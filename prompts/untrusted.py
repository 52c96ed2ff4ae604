"""Text written by strangers, made safe to show a model: cleaned, capped, labelled and fenced.

Reviews, titles and descriptions can carry instructions. Nothing here decides whether they do; it
makes sure that a model can tell where the data begins and ends, and that no invisible character
can hide in it. The check on replies (agents.checks) is the other half.
"""

import re
import unicodedata

OPEN, CLOSE = "⟦", "⟧"
MAX_CHARS = 6000

# Direction controls can show a reader other words than the model sees.
_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
# Invisible, and not needed to write any language (unlike the joiners U+200C and U+200D).
_HIDDEN = {0x200B, 0x2060, 0xFEFF, 0x00AD, *range(0xE0000, 0xE0080)}
_DROP = dict.fromkeys(_BIDI | _HIDDEN) | {ord(OPEN): "[", ord(CLOSE): "]"}
_CHAT_MARKUP = re.compile(r"<\|[^|<>]{0,40}\|>|\[/?INST\]|<</?SYS>>", re.IGNORECASE)


def clean(text: str, cap: int = MAX_CHARS) -> str:
    """One line of visible text: no control, direction or hidden characters, at most `cap` long.

    Our fence characters become square brackets and chat-template markup goes, so that data can
    close neither its fence nor its turn. What the cap takes away is marked with […].
    """
    visible = "".join(
        " " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c
        for c in unicodedata.normalize("NFC", text.translate(_DROP))
        if unicodedata.category(c) not in {"Cs", "Co"}
    )
    line = " ".join(_CHAT_MARKUP.sub(" ", visible).split())
    return line if len(line) <= cap else line[:cap].rstrip() + " […]"


def fence(text: str | None, label: str, cap: int = MAX_CHARS) -> str:
    """`⟦label: text⟧`, or `None` for a missing text, as RLMRec's prompts have it."""
    shown = clean(text or "", cap)
    return f"{OPEN}{label}: {shown}{CLOSE}" if shown else "None"
