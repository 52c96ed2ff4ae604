"""Why a model wrote a description: the reasoning of its reply, which only the ledger keeps."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stores.exports.material import Layer
from stores.ledger import Ledger
from stores.vectors import PARAGRAPH

NOTHING = "None"
_SAID = ("summarization", "description")
_REPLIES = (
    "SELECT node, body FROM calls JOIN texts ON hash = reply WHERE hop <= ? AND status != 'failed'"
    " ORDER BY status = 'accepted', id"
)


def reasons(path: Path, described: Layer) -> list[str]:
    """For each description of a layer the reasoning it came with, or "".

    A reply is the description's when it says the description's last paragraph, the one that its
    hop added, or an earlier one where the hop left the text as it was. A node's own replies come
    first: nodes with equal evidence share an answer.
    """
    rows = described.rows
    if not path.exists():
        return [""] * len(rows)
    with Ledger(path) as ledger:
        replies = list(_replies(ledger.read(_REPLIES, described.hop)))
    own = {(node, said): why for node, said, why in replies}
    any_node = {said: why for _, said, why in replies if said != NOTHING}
    last = [_letters(row.text.rpartition(PARAGRAPH)[2]) for row in rows]
    return [
        own.get((row.node, said)) or any_node.get(said, "")
        for row, said in zip(rows, last, strict=True)
    ]


def _replies(found: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Node, text and reasoning of the replies that have both; the best comes last."""
    for node, body in found:
        reply = _object(body)
        said = next((reply[name] for name in _SAID if name in reply), None)
        why = reply.get("reasoning")
        if isinstance(said, str) and isinstance(why, str):
            yield node, _letters(said), why


def _object(body: str) -> dict[str, Any]:
    """The JSON object of a reply; models put words and fences around it."""
    start = body.find("{")
    try:
        found, _ = json.JSONDecoder().raw_decode(body, max(start, 0))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _letters(text: str) -> str:
    """A text by its letters: a stored one was tidied, and marks and spaces of it may differ."""
    return re.sub(r"\W", "", unicodedata.normalize("NFC", text))
