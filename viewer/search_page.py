"""Search: ids and titles as one types, descriptions by their meaning."""

import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from stores.trails.nodes import ids
from stores.trails.reading import LEDGER
from viewer.pages import page, wants_part, word_of
from viewer.sources import Place, Sources

MOST = 20


@dataclass(frozen=True)
class Found:
    """A node that a search found by its name."""

    node: str
    title: str


def search(request: Request) -> Response:
    """Nodes whose id or title has what was typed; those by meaning come in a part of their own."""
    sources: Sources = request.app.state.sources
    asked = (word_of(request, "q") or "")[:500]
    place = sources.place()
    found = _by_name(sources, place, asked) if asked else []
    template = "part_found.html" if wants_part(request) else "search.html"
    return page(request, template, q=asked, found=found, most=MOST, place=place, asks=sources.asks)


def by_meaning(request: Request) -> Response:
    """The descriptions nearest to what was typed."""
    sources: Sources = request.app.state.sources
    asked = (word_of(request, "q") or "")[:500]
    began = time.perf_counter()
    hits = []
    with sources.reading() as db:
        matrix = sources.meaning.matrix(db)
        if asked:
            hits = sources.meaning.search(db, asked, MOST)
    return page(
        request,
        "part_meaning.html",
        q=asked,
        hits=hits,
        described=len(matrix.nodes),
        missing=matrix.missing,
        embedder=matrix.embedder,
        seconds=time.perf_counter() - began,
        place=sources.place(),
    )


def _by_name(sources: Sources, place: Place | None, asked: str) -> list[Found]:
    """Exact ids first, then those that begin so, then whatever has the words in it."""
    if place is None:
        if not (sources.workspace / LEDGER).is_file():
            return []
        with sources.reading() as db:
            return [Found(node, "") for node in ids(db, asked, MOST)]
    wanted = asked.casefold()
    kind, _, id = wanted.rpartition(":")
    if kind in ("user", "item") and id:
        wanted = id
    else:
        kind = ""
    hits = [
        (not hay.startswith(wanted), len(hay), node)
        for node, hay in place.haystack
        if wanted in hay and node.startswith(kind)
    ]
    return [Found(node, place.title(node)) for _, _, node in sorted(hits)[:MOST]]
