"""A workspace made whole again, each store from what the others still hold, without a model call.

    ledger     rows that can be read are copied into a new file; outcomes that are lost come back
               from Chroma's documents. Calls that are lost stay lost: they would be asked again
    Chroma     from the last outcome of each node and hop, with embeddings out of the cache
    vectors    put aside when damaged: what is in it can be computed again

What was damaged is kept beside, under `….damaged-1`.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from errors import StoreError
from stores import graph_file
from stores.descriptions import Descriptions, Row, row_of
from stores.embedders import Embedder
from stores.ledger_file import READABLE, VERSION, bring_up_to_date, count_anew
from stores.rows import SCHEMA, Outcome, digest, whole
from stores.salvage import salvage
from stores.sqlite_file import check, connect, create, move_aside
from stores.trails.runs import REPLAY
from stores.vectors import Vectors

CHUNK = 2000
Layers = Mapping[tuple[str, int], list[Row]]


@dataclass
class Report:
    """What was found and done: each store was sound, damaged or missing.

    `saved` counts the rows of a damaged ledger by table. Of `descriptions` in all, `written` were
    put into Chroma, and `embedded` pieces of text were not in the cache of embeddings.
    """

    ledger: str = "sound"
    chroma: str = "sound"
    vectors: str = "sound"
    saved: dict[str, int] = field(default_factory=dict)
    outcomes_from_chroma: int = 0
    descriptions: int = 0
    written: int = 0
    embedded: int = 0
    put_aside: list[str] = field(default_factory=list)


def rebuild(workspace: Path, embedder: Callable[[str], Embedder]) -> Report:
    """Mend the stores of a workspace. `embedder` opens one by the name in the last run's settings.

    That name is empty when no run is known.
    """
    report = Report()
    stored = _open_chroma(workspace, report)
    _mend_ledger(workspace, stored, report)
    _mend_vectors(workspace, report)
    with closing(connect(workspace / "ledger.sqlite")) as db:
        wanted = _layers(db, graph_file.known(workspace))
        named = db.execute(
            "SELECT json_extract(settings, '$.embedder') FROM runs ORDER BY started DESC LIMIT 1"
        ).fetchone()
    if not wanted:
        return report
    if stored is None:
        stored = Descriptions(workspace / "chroma")
    _fill(workspace, stored, wanted, embedder(named[0] or "" if named else ""), report)
    stored.close()
    return report


def _open_chroma(workspace: Path, report: Report) -> Descriptions | None:
    """The Chroma folder where all of it can be read; a damaged one is put aside."""
    folder = workspace / "chroma"
    if not folder.exists():
        report.chroma = "missing"
        return None
    try:
        stored = Descriptions(folder)
        for kind, hop in stored.layers():
            nodes, _ = stored.vectors(kind, hop)
            if len(nodes) != len(stored.texts(kind, hop)):
                raise StoreError(f"{folder}: texts and embeddings of {kind}-hop-{hop} differ.")
    except StoreError:
        report.chroma = "damaged"
        report.put_aside.append(str(move_aside(folder)))
        return None
    return stored


def _mend_ledger(workspace: Path, stored: Descriptions | None, report: Report) -> None:
    path = workspace / "ledger.sqlite"
    if path.exists():
        try:
            check(path, *READABLE)
            bring_up_to_date(path)
            return
        except sqlite3.Error:
            report.ledger = "damaged"
    else:
        report.ledger = "missing"
    fresh = workspace / "ledger.sqlite.rebuilt"
    fresh.unlink(missing_ok=True)
    create(fresh, SCHEMA, VERSION)
    db = connect(fresh)
    if report.ledger == "damaged":
        report.saved = salvage(path, db, {"texts": whole})
        db.execute("DELETE FROM outcomes WHERE text NOT IN (SELECT hash FROM texts)")
        _remember_runs(db)
    if stored is not None:
        report.outcomes_from_chroma = _from_chroma(db, stored)
    count_anew(db)
    # A single file, so that it can be put in its place in one step.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    if report.ledger == "damaged":
        report.put_aside.append(str(move_aside(path)))
    fresh.replace(path)


def _remember_runs(db: sqlite3.Connection) -> None:
    """Enter the runs that only their calls and outcomes still tell of."""
    for (run,) in db.execute(
        "SELECT run FROM calls WHERE stage != ? UNION SELECT run FROM outcomes", (REPLAY,)
    ).fetchall():
        (repeat,) = db.execute(
            "SELECT max(json_extract(parameters, '$.repeat')) FROM calls WHERE run = ?", (run,)
        ).fetchone()
        _enter_run(db, run, repeat or 0, None)


def _enter_run(db: sqlite3.Connection, run: str, repeat: int, embedder: str | None) -> None:
    settings = {"repeat": repeat, "fresh": False, "embedder": embedder, "rebuilt": True}
    db.execute(
        "INSERT OR IGNORE INTO runs (id, started, settings, summary) VALUES (?, ?, ?, ?)",
        (run, _started(run), json.dumps(settings), json.dumps({"ended": "done"})),
    )


def _started(run: str) -> float:
    try:
        return datetime.strptime(run, "%Y%m%d-%H%M%S-%f").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def _from_chroma(db: sqlite3.Connection, stored: Descriptions) -> int:
    """Enter the outcomes that Chroma has and the ledger has not. Says how many."""
    made = min(stored.embedders(), default=None)
    entered = 0
    db.execute("BEGIN")
    for kind, hop in stored.layers():
        for row in stored.rows(kind, hop):
            about, text = row.metadata, "" if row.text == "None" else row.text
            run = str(about["run"])
            db.execute("INSERT OR IGNORE INTO texts VALUES (?, ?)", (digest(text), text))
            wrote = (about["prompt"], about["model"], digest(text))
            done = db.execute(
                "INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (run, row.node, hop, about["status"], 0, "from Chroma", *wrote),
            )
            entered += done.rowcount
            _enter_run(db, run, 0, made)
    db.execute("COMMIT")
    return entered


def _mend_vectors(workspace: Path, report: Report) -> None:
    path = workspace / "vectors.sqlite"
    try:
        if path.exists():
            check(path, 0)
    except sqlite3.Error:
        report.vectors = "damaged"
        report.put_aside.append(str(move_aside(path)))


def _layers(db: sqlite3.Connection, known: Collection[str] | None) -> Layers:
    """What Chroma should hold: run after run written over the one before, as `refine` does it.

    Runs that did not get to their end wrote nothing to Chroma, and count only where no run did.
    `known` are the nodes of the last run's graph, where that is known: others left the data.
    """
    runs = db.execute(
        "SELECT id, json_extract(settings, '$.limit') IS NOT NULL,"
        " json_extract(summary, '$.ended') = 'done' FROM runs ORDER BY started"
    ).fetchall()
    finished = [run for run in runs if run[2]] or runs
    held: dict[tuple[str, int], dict[str, Row]] = {}
    for run, limited, _ in finished:
        rows = [(o.hop, row_of(o, run)) for o in _outcomes(db, run)]
        changed = False
        for hop, row in rows:
            layer = held.setdefault((str(row.metadata["kind"]), hop), {})
            before = layer.get(row.node)
            if before is None or before.fingerprint("") != row.fingerprint(""):
                layer[row.node], changed = row, True
        top = max((hop for hop, _ in rows), default=0)
        if changed and not limited:
            # The hops above were refined from texts that are gone.
            held = {(kind, hop): layer for (kind, hop), layer in held.items() if hop <= top}
    return {
        key: [layer[node] for node in sorted(layer) if known is None or node in known]
        for key, layer in sorted(held.items())
    }


def _outcomes(db: sqlite3.Connection, run: str) -> Iterator[Outcome]:
    columns = "node, hop, status, turns, reason, prompt, model, body"
    for values in db.execute(
        f"SELECT {columns} FROM outcomes JOIN texts ON hash = text WHERE run = ?", (run,)
    ):
        yield Outcome(*values)


def _fill(
    workspace: Path, stored: Descriptions, wanted: Layers, embedder: Embedder, report: Report
) -> None:
    """Write what Chroma has not, or has otherwise."""

    def pay(pieces: Sequence[str], embed: Callable[[], None]) -> None:
        embed()
        report.embedded += len(pieces)

    with Vectors(workspace / "vectors.sqlite", embedder) as vectors:
        for (kind, hop), rows in wanted.items():
            known = stored.fingerprints(kind, hop)
            report.descriptions += len(rows)
            fresh = [row for row in rows if known.get(row.node) != row.fingerprint(embedder.name)]
            for start in range(0, len(fresh), CHUNK):
                some = fresh[start : start + CHUNK]
                made = vectors.embed([row.text for row in some], pay)
                stored.write(kind, hop, some, made, embedder.name)
            report.written += len(fresh)
