"""A user or an item: its descriptions hop by hop, what changed, and why they say what they say."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from errors import UsageError
from graph_ops.graph import kind_of
from stores.trails import calls, nodes
from stores.trails import runs as trails
from stores.trails.calls import CallRow, Page
from stores.trails.filters import Filter
from stores.trails.nodes import Described
from stores.trails.reading import LEDGER
from stores.trails.runs import Run
from viewer.evidence import Shown, shown, told
from viewer.pages import number_of, page, word_of
from viewer.sources import Place, Sources
from viewer.text import language_code
from viewer.training_pages import records
from viewer.why import Why, why
from viewer.words import Piece, compared, new_words, with_marks

BEFORE = "before"
MOST_CALLS = 12
MOST_NEIGHBOURS = 60


@dataclass(frozen=True)
class Column:
    """One hop of a node: its text as a change of another text, and all that led to it.

    `base` says what the text is compared with. `shared` calls were made for another node that
    asked the same question.
    """

    outcome: Described
    base: str
    pieces: list[Piece]
    calls: Sequence[CallRow]
    cost_nanousd: int
    unpriced: int
    shared: bool
    evidence: Sequence[Shown]
    new_words: Sequence[str]


@dataclass(frozen=True)
class Life:
    """A node in one run."""

    run: Run
    columns: Sequence[Column]
    why: Why | None


def node(request: Request) -> Response:
    """The page of a node. The query may name a run, what to compare with, and a word to explain."""
    sources: Sources = request.app.state.sources
    name = word_of(request, "n") or ""
    place = sources.place()
    known: list[str] = []
    life: Life | None = None
    listed = Page((), None)
    if (sources.workspace / LEDGER).is_file():
        with sources.reading() as db:
            known = nodes.runs_with(db, name)
            if known:
                life = _life(request, db, place, name)
                listed = calls.page(db, Filter(node=name), limit=MOST_CALLS)
    if not known and (place is None or name not in place.graph):
        raise UsageError(
            f"There is no node {name!r} here.", hint="Search for it by id, title or meaning."
        )
    return page(
        request,
        "node.html",
        node=name,
        kind=kind_of(name),
        place=place,
        facts=_facts(place, name),
        runs=known,
        life=life,
        against=word_of(request, "against") or BEFORE,
        word=word_of(request, "word") or "",
        calls=listed,
        neighbours=_neighbours(place, life, name),
        degree=place.graph.degree(name) if place and name in place.graph else None,
        most=MOST_NEIGHBOURS,
        trained=any(one.finished for one in records(sources.workspace)),
    )


def _life(request: Request, db: sqlite3.Connection, place: Place | None, name: str) -> Life:
    hops = nodes.life(db, name, word_of(request, "run"))
    run = trails.run(db, hops[0].run)
    against, word = word_of(request, "against") or BEFORE, word_of(request, "word") or ""
    bases = _bases(db, hops, against)
    columns = [_column(db, place, run, hops, one, bases, word) for one in hops]
    explained = None
    if word and place is not None:
        last = number_of(request, "hop")
        until = [one for one in hops if last is None or one.hop <= last]
        explained = why(db, place.graph, told(run.id, run.settings), until, word)
    return Life(run, columns, explained)


def _bases(
    db: sqlite3.Connection, hops: Sequence[Described], against: str
) -> Mapping[int, tuple[str, str]]:
    """What each hop is compared with: its name, and its text.

    `against` is `before` (the hop before), a hop's number, or `run:ID` (the same hop there).
    """
    texts = {one.hop: one.text for one in hops}
    if against.startswith("run:"):
        other = {one.hop: one.text for one in nodes.life(db, hops[0].node, against[4:])}
        return {
            hop: (f"hop {hop} of run {against[4:]}", other[hop]) for hop in texts if hop in other
        }
    if against.isdecimal() and int(against) in texts:
        base = int(against)
        return {hop: (f"hop {base}", texts[base]) for hop in texts if hop != base}
    return {hop: (f"hop {hop - 1}", texts[hop - 1]) for hop in texts if hop - 1 in texts}


def _column(
    db: sqlite3.Connection,
    place: Place | None,
    run: Run,
    hops: Sequence[Described],
    one: Described,
    bases: Mapping[int, tuple[str, str]],
    word: str,
) -> Column:
    base, before = bases.get(one.hop, ("", one.text))
    below = next((other.text for other in hops if other.hop == one.hop - 1), "")
    evidence: Sequence[Shown] = ()
    if place is not None:
        evidence = shown(db, place.graph, told(run.id, run.settings), one.node, one.hop)
    led = calls.behind(db, one)
    sources = [text.text for text in evidence if text.node != one.node or text.hop is None]
    language = language_code(run.settings.get("language"))
    return Column(
        outcome=one,
        base=base,
        pieces=with_marks(compared(before, one.text), word),
        calls=led,
        cost_nanousd=sum(call.cost_nanousd or 0 for call in led),
        unpriced=sum(call.cost_nanousd is None for call in led),
        shared=any(call.node != one.node for call in led),
        evidence=evidence,
        new_words=new_words(below, one.text, sources, language),
    )


def _facts(place: Place | None, name: str) -> dict[str, str]:
    """What the data says of a node."""
    if place is None or name not in place.graph:
        return {}
    data = place.graph.nodes[name]
    own = {"description": data["description"]} if data.get("description") else {}
    return {**own, **data["attributes"]}


def _neighbours(place: Place | None, life: Life | None, name: str) -> list[tuple[str, list[int]]]:
    """Neighbours with the hops at which their texts were read: those first."""
    if place is None or name not in place.graph:
        return []
    at: dict[str, list[int]] = {}
    for column in life.columns if life else ():
        for other in dict.fromkeys(one.node for one in column.evidence if one.node != name):
            at.setdefault(other, []).append(column.outcome.hop)
    rest = sorted(other for other in place.graph.adj[name] if other not in at)
    return [(other, at.get(other, [])) for other in [*at, *rest][:MOST_NEIGHBOURS]]
