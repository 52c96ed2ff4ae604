"""Calls: the list under filters; one call with its exact messages, its reply, what came of it."""

import json
import sqlite3
from dataclasses import asdict
from typing import cast, get_args

from starlette.requests import Request
from starlette.responses import Response

from stores.trails import calls as trails
from stores.trails import figures
from stores.trails import runs as run_trails
from stores.trails.calls import Order, WholeCall
from stores.trails.figures import By
from stores.trails.filters import Filter
from viewer.pages import number_of, page, wants_part, word_of
from viewer.sources import Sources
from viewer.words import Piece, compared

PAGE, MOST_RUNS = 50, 50
_ORDERS = get_args(Order)
_REPAIRS: dict[str, bool] = {"only": True, "none": False}


def calls(request: Request) -> Response:
    """A page of calls. The query holds the filters; `after` is where the page before ended."""
    sources: Sources = request.app.state.sources
    wanted = _wanted(request)
    order = word_of(request, "order")
    by: Order = cast(Order, order) if order in _ORDERS else "newest"
    with sources.reading() as db:
        found = trails.page(db, wanted, by, after=word_of(request, "after"), limit=PAGE)
        choices = _choices(db)
    query = {key: value for key, value in request.query_params.items() if value and key != "after"}
    template = "part_calls.html" if wants_part(request) else "calls.html"
    return page(
        request,
        template,
        calls=found,
        query=query,
        order=by,
        later=bool(word_of(request, "after")),
        choices=choices,
        facets={key: value for key, value in asdict(wanted).items() if value is not None},
        place=sources.place(),
    )


def call(request: Request) -> Response:
    """One call, whole."""
    sources: Sources = request.app.state.sources
    with sources.reading() as db:
        found = trails.whole(db, number_of(request, "id") or 0)
    return page(
        request,
        "call.html",
        call=found,
        reply=_tidy(found.reply),
        parameters=json.dumps(found.parameters, indent=2, ensure_ascii=False),
        repaired=_repaired(found),
        place=sources.place(),
    )


def _wanted(request: Request) -> Filter:
    return Filter(
        run=word_of(request, "run"),
        node=word_of(request, "node"),
        stage=word_of(request, "stage"),
        status=word_of(request, "status"),
        prompt=word_of(request, "prompt"),
        model=word_of(request, "model"),
        repairs=_REPAIRS.get(word_of(request, "repairs") or ""),
    )


def _choices(db: sqlite3.Connection) -> dict[str, list[str]]:
    """What there is to choose from in each filter."""
    by: tuple[By, ...] = ("stage", "status", "prompt", "model")
    found: dict[str, list[str]] = {"run": [run.id for run in run_trails.runs(db)][:MOST_RUNS]}
    for one in by:
        found[one] = [row.name for row in figures.figures(db, one) if row.name]
    return found


def _tidy(reply: str | None) -> str | None:
    """A reply that is JSON, indented; any other as it came."""
    if reply is None:
        return None
    try:
        return json.dumps(json.loads(reply), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return reply


def _repaired(found: WholeCall) -> list[Piece]:
    """How a repair's reply differs from the one it mends, which is its last but one message."""
    said = [text for role, text in found.messages if role == "assistant"]
    if found.row.turn == 0 or not said or found.reply is None:
        return []
    return compared(_tidy(said[-1]) or "", _tidy(found.reply) or "")
