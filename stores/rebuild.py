"""A workspace made whole again, each store from what the others still hold, without a model call.

    ledger     rows that can be read are copied into a new file; outcomes that are lost come back
               from Chroma's documents. Calls that are lost stay lost: they would be asked again
    Chroma     from the last outcome of each node and hop, with embeddings out of the cache
    vectors    put aside when damaged: what is in it can be computed again

What was damaged is kept beside, under `….damaged-1`.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path

from errors import StoreError
from stores import graph_file
from stores.chroma import Server
from stores.descriptions import NOTHING, Descriptions, Row, kept, row_of
from stores.embedders import Embedder
from stores.ledger_file import READABLE, VERSION, bring_up_to_date, count_anew
from stores.rows import SCHEMA, Outcome, digest, whole
from stores.salvage import salvage
from stores.sqlite_file import check, connect, create, move_aside
from stores.trails.runs import REPLAY
from stores.vectors import Vectors

CHUNK = 2000
Held = dict[tuple[str, int], dict[str, tuple[str, str]]]
"""By kind and hop the nodes, and of each the run that wrote its text and the row's fingerprint."""


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


def rebuild(
    workspace: Path, embedder: Callable[[str], Embedder], server: Server | None = None
) -> Report:
    """Mend the stores of a workspace. `embedder` opens one by the name in the last run's settings.

    That name is empty when no run is known. Raises StoreError where a server does not answer.
    """
    report = Report()
    stored = _open_chroma(workspace, server, report)
    _mend_ledger(workspace, stored, report)
    _mend_vectors(workspace, report)
    with closing(connect(workspace / "ledger.sqlite")) as db:
        wanted = _held(db, graph_file.known(workspace))
        named = db.execute(
            "SELECT json_extract(settings, '$.embedder') FROM runs ORDER BY started DESC LIMIT 1"
        ).fetchone()
        if wanted:
            if stored is None:
                stored = Descriptions(workspace / "chroma")
            opened = embedder(named[0] or "" if named else "")
            with Vectors(workspace / "vectors.sqlite", opened) as vectors:
                _fill(db, stored, wanted, vectors, report)
            stored.close()
    return report


def _open_chroma(workspace: Path, server: Server | None, report: Report) -> Descriptions | None:
    """The descriptions where all of them can be read. A damaged folder is put aside, damaged
    collections of a server are dropped.
    """
    folder = workspace / "chroma"
    if not kept(folder, server):
        report.chroma = "missing"
        return None
    if server is not None:
        return _proved_server(Descriptions(folder, server), report)
    try:
        stored = Descriptions(folder)
        _prove(stored)
    except StoreError:
        report.chroma = "damaged"
        report.put_aside.append(str(move_aside(folder)))
        return None
    return stored


def _proved_server(stored: Descriptions, report: Report) -> Descriptions:
    import httpx

    if not stored.layers():
        report.chroma = "missing"
    try:
        _prove(stored)
    except StoreError as error:
        if isinstance(error.__cause__, httpx.HTTPError):
            raise  # It went away, which is no damage.
        report.chroma = "damaged"
        stored.drop_above(-1)
    return stored


def _prove(stored: Descriptions) -> None:
    """Read everything. Raises StoreError for what cannot be read, or does not belong together."""
    for kind, hop in stored.layers():
        nodes, _ = stored.vectors(kind, hop)
        if len(nodes) != sum(map(len, stored.batches(kind, hop))):
            raise StoreError(f"Texts and embeddings of {kind}-hop-{hop} in Chroma differ.")


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
        report.saved = salvage(path, db, {"texts": whole}, once_in_index=["texts"])
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
        for row in chain.from_iterable(stored.batches(kind, hop)):
            about, text = row.metadata, "" if row.text == NOTHING else row.text
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


def _held(db: sqlite3.Connection, known: Collection[str] | None) -> Held:
    """What Chroma should hold: run after run written over the one before, as `refine` does it.

    Runs that did not get to their end wrote nothing to Chroma, and count only where no run did.
    `known` are the nodes of the last run's graph, where that is known: others left the data.
    """
    runs = db.execute(
        "SELECT id, json_extract(settings, '$.limit') IS NOT NULL,"
        " json_extract(summary, '$.ended') = 'done' FROM runs ORDER BY started"
    ).fetchall()
    finished = [run for run in runs if run[2]] or runs
    held: Held = {}
    for run, limited, _ in finished:
        changed, top = False, 0
        for outcome in _outcomes(db, run):
            row, top = row_of(outcome, run), max(top, outcome.hop)
            layer = held.setdefault((str(row.metadata["kind"]), outcome.hop), {})
            now = row.fingerprint("")
            if layer.get(row.node, ("", ""))[1] != now:
                layer[row.node], changed = (run, now), True
        if changed and not limited:
            # The hops above were refined from texts that are gone.
            held = {(kind, hop): layer for (kind, hop), layer in held.items() if hop <= top}
    return {
        key: {node: row for node, row in layer.items() if known is None or node in known}
        for key, layer in sorted(held.items())
    }


_OUTCOMES = (
    "SELECT node, hop, status, turns, reason, prompt, model, body"
    " FROM outcomes JOIN texts ON hash = text WHERE run = ?"
)


def _outcomes(db: sqlite3.Connection, run: str) -> Iterator[Outcome]:
    for values in db.execute(_OUTCOMES, (run,)):
        yield Outcome(*values)


def _rows(db: sqlite3.Connection, hop: int, written: Sequence[tuple[str, str]]) -> list[Row]:
    """The rows of some nodes at a hop, each as its run wrote it; `written` are runs and nodes."""
    found = []
    for run, some in groupby(sorted(written), key=itemgetter(0)):
        nodes = json.dumps([node for _, node in some])
        where = " AND hop = ? AND node IN (SELECT value FROM json_each(?))"
        rows = db.execute(_OUTCOMES + where, (run, hop, nodes))
        found += [row_of(Outcome(*values), run) for values in rows]
    return found


def _fill(
    db: sqlite3.Connection, stored: Descriptions, wanted: Held, vectors: Vectors, report: Report
) -> None:
    """Write what Chroma has not, or has otherwise."""
    embedder = vectors.embedder.name

    def pay(pieces: Sequence[str], embed: Callable[[], None]) -> None:
        embed()
        report.embedded += len(pieces)

    for (kind, hop), layer in wanted.items():
        known = stored.fingerprints(kind, hop)
        report.descriptions += len(layer)
        written = sorted((run, node) for node, (run, _) in layer.items())
        for start in range(0, len(written), CHUNK):
            rows = _rows(db, hop, written[start : start + CHUNK])
            fresh = [row for row in rows if known.get(row.node) != row.fingerprint(embedder)]
            if fresh:
                made = vectors.embed([row.text for row in fresh], pay)
                stored.write(kind, hop, fresh, made, embedder)
            report.written += len(fresh)
