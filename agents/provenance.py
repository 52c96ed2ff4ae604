"""Which questions showed a user's words, and which texts were written from them: what to forget.

    reviews ─► item profiles ─► user profiles ─► hop 1 ─► hop 2 …
                 a question that showed a text, and what came of it, hop by hop

A prompt puts every text of the data between fences, whole or cut, so what a question showed is
read off the question itself, whatever the graph was at that time. Where a prompt of the user's own
shows texts without a fence nobody can tell: all its questions count.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from graph_ops.budget import CUT
from prompts.untrusted import CLOSE, OPEN, clean
from stores.trails.figures import template

_FENCED = re.compile(f"{OPEN}[^{OPEN}{CLOSE}]*?: ([^{OPEN}{CLOSE}]*){CLOSE}")
# Words of ours are no data; a rating is a number.
_SHOWN = re.compile(r"{{(?!\s*(?:domain|language|max_words|mode|complaint)\b)(?![^}]*%g)([^}]*)}}")
_START = 24


@dataclass(frozen=True)
class Words:
    """What was said by the users to forget.

    `reviews` are (item node, text); `past` the items they once had an interaction with that is gone
    or read otherwise then: nobody knows any more what their questions showed.
    """

    users: frozenset[str]
    reviews: frozenset[tuple[str, str]]
    past: frozenset[str]


@dataclass
class Written:
    """Rows of the ledger that hold these words or came from them.

    `outcomes` are (run, node, hop), `lines` (batch, key).
    """

    calls: set[int] = field(default_factory=set)
    outcomes: set[tuple[str, str, int]] = field(default_factory=set)
    lines: set[tuple[str, str]] = field(default_factory=set)


class _Texts:
    """Texts as a question would show them, to be found whole or cut."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._whole = {shown for text in texts if (shown := clean(text))}
        self._by_start: dict[str, list[str]] = {}
        for shown in self._whole:
            self._by_start.setdefault(shown[:_START], []).append(shown)

    def shown_in(self, body: str) -> bool:
        return any(self._is(piece) for piece in _FENCED.findall(body))

    def _is(self, piece: str) -> bool:
        if piece in self._whole:
            return True
        start = piece.removesuffix(CUT).rstrip()
        if start == piece or not start:
            return False
        near = self._by_start.get(start[:_START], ()) if len(start) >= _START else self._whole
        return any(text.startswith(start) for text in near)


@dataclass(frozen=True, slots=True)
class _Question:
    """A question of the ledger: a call by its id, or a line of a batch by the batch's name."""

    id: int | None
    batch: str
    key: str
    node: str
    prompt: str
    body: str


def written_from(db: sqlite3.Connection, words: Words) -> Written:
    """Follow the words through every call and outcome of a ledger."""
    found, bare = Written(), _Bare(db)
    by_item: dict[str, list[str]] = {}
    for item, text in words.reviews:
        by_item.setdefault(item, []).append(text)
    reviews = {item: _Texts(texts) for item, texts in by_item.items()}
    (last,) = db.execute(
        "SELECT max(hop) FROM (SELECT hop FROM calls UNION SELECT hop FROM outcomes"
        " UNION SELECT hop FROM batches)"
    ).fetchone()
    for hop in range(-1 if last is None else last + 1):
        for kind in ("item", "user"):
            below = _Texts(_texts(db, found, max(0, hop - 1)))
            asked: list[_Question] = []
            for one in _questions(db, hop, kind):
                # An item's profile shows what users said; everything else, what was written.
                texts = reviews.get(one.node, below) if hop == 0 and kind == "item" else below
                theirs = one.node in words.users or (hop == 0 and one.node in words.past)
                if theirs or texts.shown_in(one.body) or bare.shows(one.prompt):
                    asked.append(one)
            found.calls |= {one.id for one in asked if one.id is not None}
            found.lines |= {(one.batch, one.key) for one in asked if one.id is None}
            found.outcomes |= set(_outcomes(db, hop, kind, asked, words.users, found.outcomes))
    return found


def _questions(db: sqlite3.Connection, hop: int, kind: str) -> Iterator[_Question]:
    """The questions about nodes of a kind at a hop, experiments and waiting batches included."""
    calls = "SELECT id, '', key, node, prompt, messages FROM calls WHERE hop = ? AND node LIKE ?"
    lines = (
        "SELECT NULL, name, key, node, prompt, messages FROM batch_lines JOIN batches USING (name)"
        " WHERE hop = ? AND node LIKE ?"
    )
    for sql in (calls, lines):
        for id, batch, key, node, prompt, messages in db.execute(sql, (hop, f"{kind}:%")):
            # A repair goes on from its question, which comes first.
            name = next((text for role, text in json.loads(messages) if role == "user"), "")
            row = db.execute("SELECT body FROM texts WHERE hash = ?", (name,)).fetchone()
            yield _Question(id, batch, key, node, prompt, row[0] if row else "")


def _outcomes(
    db: sqlite3.Connection,
    hop: int,
    kind: str,
    asked: Iterable[_Question],
    users: frozenset[str],
    below: set[tuple[str, str, int]],
) -> Iterator[tuple[str, str, int]]:
    """What came of these questions, and what keeps a text of the hop below that came of some."""
    keys, nodes = {one.key for one in asked}, {one.node for one in asked}
    for run, node, key in db.execute(
        "SELECT outcomes.run, outcomes.node, key FROM outcomes LEFT JOIN answered"
        " USING (run, node, hop) WHERE outcomes.hop = ? AND outcomes.node LIKE ?",
        (hop, f"{kind}:%"),
    ):
        # An older ledger does not say which question a text answers.
        came = key in keys if key is not None else node in nodes
        if came or node in users or (run, node, hop - 1) in below:
            yield run, node, hop


def _texts(db: sqlite3.Connection, found: Written, hop: int) -> Iterator[str]:
    sql = "SELECT body FROM outcomes JOIN texts ON hash = text WHERE (run, node, hop) = (?, ?, ?)"
    for one in found.outcomes:
        if one[2] == hop:
            yield from (body for (body,) in db.execute(sql, one))


class _Bare:
    """Which prompts show texts without a fence, by their reference."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[str, bool] = {}

    def shows(self, prompt: str) -> bool:
        if prompt not in self._known:
            source = template(self._db, prompt.rpartition(":")[2]) or ""
            body = source.partition("# system")[2]
            self._known[prompt] = any("data(" not in shown for shown in _SHOWN.findall(body))
        return self._known[prompt]
