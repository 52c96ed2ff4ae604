"""The ledger's tables, and what goes in and comes out of them as values."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from hashlib import sha256
from typing import Literal

Status = Literal["accepted", "rejected", "failed"]

# Texts are not WITHOUT ROWID, as they were in older files: a row of an index that is longer than a
# quarter of a page spills into pages of its own, whose ends stay empty.
SCHEMA = """
CREATE TABLE texts (
    hash TEXT PRIMARY KEY,      -- digest(body)
    body TEXT NOT NULL
);
CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,          -- hash of everything that can change the answer
    run TEXT NOT NULL,
    stage TEXT NOT NULL,        -- item profiles, user profiles, hop 1, ...
    node TEXT NOT NULL,
    hop INTEGER NOT NULL,
    turn INTEGER NOT NULL,      -- 0 the question, n its n-th repair
    attempt INTEGER NOT NULL,   -- n-th try of this turn; the tries before it failed
    prompt TEXT NOT NULL,       -- name@version:digest
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    parameters TEXT NOT NULL,   -- JSON: sampling, schema, repeat
    messages TEXT NOT NULL,     -- JSON: [[role, text hash], ...]
    reply TEXT,                 -- text hash; NULL when there was no answer
    status TEXT NOT NULL CHECK (status IN ('accepted', 'rejected', 'failed')),
    reason TEXT NOT NULL,       -- why it was rejected or failed
    finish TEXT NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cost_nanousd INTEGER,       -- NULL: no price is known, which is not the same as free
    started REAL NOT NULL,      -- unix seconds
    latency_ms REAL NOT NULL    -- 0: it came in a batch, where nobody waits for one call
);
CREATE INDEX calls_by_key ON calls (key);
CREATE INDEX calls_by_node ON calls (node, hop);
CREATE TABLE outcomes (
    run TEXT NOT NULL,
    node TEXT NOT NULL,
    hop INTEGER NOT NULL,
    status TEXT NOT NULL,       -- written, unchanged, none, fallback, failed
    turns INTEGER NOT NULL,     -- replies it took
    reason TEXT NOT NULL,
    prompt TEXT NOT NULL,
    model TEXT NOT NULL,        -- who wrote the text
    text TEXT NOT NULL,         -- hash of the whole description
    PRIMARY KEY (run, node, hop)
) WITHOUT ROWID;
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    started REAL NOT NULL,
    settings TEXT NOT NULL,     -- JSON, without secrets
    ended REAL,
    summary TEXT                -- JSON
) WITHOUT ROWID;
CREATE TABLE batches (
    name TEXT PRIMARY KEY,      -- hash of the file and its place; the server keeps it as metadata
    run TEXT NOT NULL,
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    stage TEXT NOT NULL,
    hop INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    language TEXT,              -- what the replies are held to
    most INTEGER NOT NULL,      -- nano-dollars it can cost at the most, where a cap was set
    file TEXT,                  -- the server's name of the file; NULL before it is uploaded
    batch TEXT,                 -- the server's name of the batch; NULL before it is known
    status TEXT NOT NULL,       -- intended, then the server's word
    created REAL NOT NULL,
    harvested REAL              -- when all that came back was written down; NULL: not yet
) WITHOUT ROWID;
CREATE TABLE batch_lines (
    name TEXT NOT NULL,
    key TEXT NOT NULL,          -- the line's custom_id
    node TEXT NOT NULL,
    prompt TEXT NOT NULL,
    form TEXT NOT NULL,         -- the reply's class
    max_words INTEGER NOT NULL,
    parameters TEXT NOT NULL,   -- text hash
    messages TEXT NOT NULL,     -- JSON: [[role, text hash], ...]
    recorded INTEGER NOT NULL DEFAULT 0,  -- 1: its call is in the ledger
    PRIMARY KEY (name, key)
) WITHOUT ROWID;
CREATE INDEX batch_lines_by_key ON batch_lines (key);
"""

ANSWERED = """
CREATE TABLE answered (
    run TEXT NOT NULL,
    node TEXT NOT NULL,
    hop INTEGER NOT NULL,
    key TEXT NOT NULL,          -- of the last question asked about the node, a repair as it may be
    PRIMARY KEY (run, node, hop)
) WITHOUT ROWID;
"""
SCHEMA += ANSWERED


def digest(text: str) -> str:
    """The name of a text in the ledger: 32 hex digits of its SHA-256."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def whole(name: str, body: str) -> bool:
    """Whether a text is what its name says. Half characters were replaced after it was named."""
    return digest(body) == name or "?" in body


@dataclass(frozen=True, slots=True)
class Call:
    """One finished call. Messages and reply are whole texts; the ledger keeps each text once."""

    key: str
    run: str
    stage: str
    node: str
    hop: int
    turn: int
    attempt: int
    prompt: str
    model: str
    endpoint: str
    parameters: str
    messages: tuple[tuple[str, str], ...]
    reply: str | None
    status: Status
    reason: str
    finish: str
    input_tokens: int | None
    output_tokens: int | None
    cost_nanousd: int | None
    started: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What the ledger knows of a key: the last accepted answer, or else the last rejected one."""

    text: str
    finish: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a node at a hop, and the description it has now.

    `key` is the cache key of the last question asked about it; "" where nothing was asked.
    """

    node: str
    hop: int
    status: str
    turns: int
    reason: str
    prompt: str
    model: str
    text: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    """An answer of an earlier call, with what it was asked: what estimates learn from."""

    prompt: str
    messages: tuple[str, ...]
    reply: str
    turn: int
    status: str
    input_tokens: int | None
    output_tokens: int | None
    latency_ms: float


_COLUMNS = [f.name for f in fields(Call)]
_INSERT_CALL = (
    f"INSERT INTO calls ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
)
_INSERT_TEXT = "INSERT OR IGNORE INTO texts VALUES (?, ?)"
# An upsert, because REPLACE would hide from the triggers what it takes away.
_INSERT_OUTCOME = (
    "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " status = excluded.status, turns = excluded.turns, reason = excluded.reason,"
    " prompt = excluded.prompt, model = excluded.model, text = excluded.text"
)
_INSERT_ANSWERED = "INSERT OR REPLACE INTO answered VALUES (?, ?, ?, ?)"


def insert_calls(db: sqlite3.Connection, calls: Sequence[Call]) -> None:
    """Insert calls and the texts they name."""
    texts: list[str] = []
    rows = []
    for call in calls:
        texts += [text for _, text in call.messages]
        messages = json.dumps([(role, digest(text)) for role, text in call.messages])
        reply = None
        if call.reply is not None:
            texts.append(call.reply)
            reply = digest(call.reply)
        row = {"messages": messages, "reply": reply}
        rows.append([row.get(name, getattr(call, name)) for name in _COLUMNS])
    insert_texts(db, texts)
    db.executemany(_INSERT_CALL, rows)


def insert_texts(db: sqlite3.Connection, texts: Iterable[str]) -> None:
    """Insert texts that are not there yet, under their names."""
    named = {digest(text): _encodable(text) for text in texts}
    db.executemany(_INSERT_TEXT, named.items())


def _encodable(text: str) -> str:
    """The text with half characters replaced: a model may stop in the middle of an emoji."""
    return text.encode("utf-8", "replace").decode()


def insert_outcomes(db: sqlite3.Connection, run: str, outcomes: Sequence[Outcome]) -> None:
    """Insert what became of nodes in a run."""
    rows = [(run, *astuple(outcome)[:7], digest(outcome.text)) for outcome in outcomes]
    insert_texts(db, [outcome.text for outcome in outcomes])
    db.executemany(_INSERT_OUTCOME, rows)
    asked = [(run, o.node, o.hop, o.key) for o in outcomes if o.key]
    db.executemany(_INSERT_ANSWERED, asked)
