"""Text written by strangers, made safe to show a model: cleaned, capped, labelled and fenced.

Reviews, titles and descriptions can carry instructions. Nothing here decides whether they do; it
makes sure that a model can tell where the data begins and ends, and that no invisible character
can hide in it. The check on replies (agents.checks) is the other half.
"""

import re
import unicodedata
from bisect import bisect_left

OPEN, CLOSE = "⟦", "⟧"
MAX_CHARS = 6000

# Direction controls can show a reader other words than the model sees; the other invisible
# characters are not needed to write any language (unlike the joiners U+200C and U+200D); surrogates
# and private characters mean nothing to anybody else.
_DROPPED = re.compile(
    "[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c"
    "\u200b\u2060-\u2064\u206a-\u206f\ufeff\u00ad\u034f\u115f\u1160\u180e\u3164\uffa0"
    "\ufff9-\ufffb\U000e0000-\U000e01ef"
    "\ud800-\udfff\ue000-\uf8ff\U000f0000-\U0010ffff]"
)
_SPACED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Our fence and the brackets that could be taken for it: white and double ones. 【】 and 「」 stay,
# Chinese and Japanese are written with them.
_FENCES = str.maketrans(OPEN + "〚⟬〘〖⦗⁅⸢⟪" + CLOSE + "〛⟭〙〗⦘⁆⸥⟫", "[" * 9 + "]" * 9)
_CHAT_MARKUP = re.compile(
    r"<\|[\w ]{0,40}\|>|<\||\|>|<｜|｜>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>"
    r"|</?(?:system|assistant|user|human|instructions?|think|tool_\w{1,20}|bos|eos|pad)>"
    r"|\[/?(?:SYSTEM|ASSISTANT|USER|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]",
    re.IGNORECASE,
)


# What begins and what ends a turn in some chat template; text between the two is nobody's review.
_BEGINS = re.compile(
    r"start|INST|SYS|^<\|?(?:system|user|assistant|human|instruction)", re.IGNORECASE
)
_ENDS = re.compile(r"/|im_end|eot|end_of_turn|^<\|end\|>", re.IGNORECASE)


def clean(text: str, cap: int = MAX_CHARS) -> str:
    """One line of visible text: no control, direction or hidden characters, at most `cap` long.

    Our fence characters become square brackets; chat-template markup goes, and with it a turn that
    is begun and ended by it. So data can close neither its fence nor its turn, nor hold one of its
    own. What the cap takes away is marked with […].
    """
    line = " ".join(_without_turns(_SPACED.sub(" ", visible(text))).split())
    return line if len(line) <= cap else line[:cap].rstrip() + " […]"


def visible(text: str) -> str:
    """The text without hidden characters, fences and turns of its own; its lines stay."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", _DROPPED.sub("", text)).translate(_FENCES)
    return _without_turns(text)


def _without_turns(text: str) -> str:
    marks = list(_CHAT_MARKUP.finditer(text))
    kept, position, ends = [], 0, [m.start() for m in marks if _ENDS.search(m[0])]
    for mark in marks:
        if mark.start() < position:
            continue
        kept.append(text[position : mark.start()])
        position = mark.end()
        if _BEGINS.search(mark[0]) and not _ENDS.search(mark[0]):
            after = bisect_left(ends, mark.end())
            position = ends[after] if after < len(ends) else position
    return " ".join([*kept, text[position:]])


def fence(text: str | None, label: str, cap: int = MAX_CHARS) -> str:
    """`⟦label: text⟧`, or `None` for a missing text, as RLMRec's prompts have it."""
    shown = clean(text or "", cap)
    return f"{OPEN}{label}: {shown}{CLOSE}" if shown else "None"
