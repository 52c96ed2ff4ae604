"""What became of the hostile texts in a workspace, counted by kind. Shared with benchmarks."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from stores.descriptions import Descriptions
from tests.hostile import HOSTILE, TEXTS, found_in


@dataclass
class Caught:
    """`repeated` replies of the model held a hostile text, `caught` of them were rejected;
    `stored` counts the texts in the ledger's outcomes and in Chroma that still hold one.
    """

    kind: str
    texts: int
    repeated: int = 0
    caught: int = 0
    stored: int = 0


def stored_texts(workspace: Path) -> list[str]:
    """Every text that is kept: accepted replies, outcomes, documents in Chroma."""
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as db:
        replies = db.execute(
            "SELECT body FROM calls JOIN texts ON hash = reply WHERE status = 'accepted'"
        )
        kept = [next(iter(json.loads(body).values())) for (body,) in replies]
        kept += [b for (b,) in db.execute("SELECT body FROM outcomes JOIN texts ON hash = text")]
    descriptions = Descriptions(workspace / "chroma")
    for kind in ("user", "item"):
        for hop in range(4):
            kept += descriptions.texts(kind, hop).values()
    return kept


def caught(workspace: Path) -> list[Caught]:
    """A row for each kind."""
    rows = {kind: Caught(kind, len(texts)) for kind, texts in TEXTS.items()}
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as db:
        replies = db.execute("SELECT status, body FROM calls JOIN texts ON hash = reply").fetchall()
    for status, reply in replies:
        said = next(iter(json.loads(reply).values()))
        for kind in {hostile.kind for hostile in found_in(said)}:
            rows[kind].repeated += 1
            rows[kind].caught += status == "rejected"
    for text in stored_texts(workspace):
        for kind in {hostile.kind for hostile in found_in(text)}:
            rows[kind].stored += 1
    return list(rows.values())


def table(rows: list[Caught]) -> str:
    """The rows as text; a kind that no reply repeated was taken out before it was shown."""
    lines = [f"{'kind':26}{'texts':>6}{'repeated':>10}{'caught':>8}{'share':>8}{'stored':>8}"]
    for row in [*rows, _total(rows)]:
        share = f"{row.caught / row.repeated:.0%}" if row.repeated else "-"
        lines.append(
            f"{row.kind:26}{row.texts:6}{row.repeated:10}{row.caught:8}{share:>8}{row.stored:8}"
        )
    return "\n".join(lines)


def _total(rows: list[Caught]) -> Caught:
    sums = (sum(getattr(row, name) for row in rows) for name in ("repeated", "caught", "stored"))
    return Caught("all", len(HOSTILE), *sums)
