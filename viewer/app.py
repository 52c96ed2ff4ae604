"""The page as an ASGI application: which address shows what, and what an error looks like.

/                  the workspace at a glance, live while a run writes      viewer.overview
/runs /run /fallen all runs; one: stages, cost, who fell back and why      viewer.overview
/node …            a user or an item, hop by hop                           viewer.node_page
/calls /call       every question, exactly as it was sent                  viewer.call_pages
/prompts …         prompt versions, compared                               viewer.prompt_pages
/training …        trained recommenders: metrics and curves                viewer.training_pages
/search …          ids, titles, meaning                                    viewer.search_page
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from errors import HopscribeError, UsageError
from viewer import (
    call_pages,
    node_page,
    node_parts,
    overview,
    prompt_pages,
    search_page,
    training_pages,
)
from viewer.guard import Guard
from viewer.pages import STATIC, environment, page, wants_part
from viewer.sources import Sources

ROUTES = [
    Route("/", overview.home),
    Route("/runs", overview.runs_page),
    Route("/run", overview.run_page),
    Route("/fallen", overview.fallen_page),
    Route("/node", node_page.node),
    Route("/node/graph", node_parts.graph),
    Route("/node/nearest", node_parts.nearest),
    Route("/node/recommended", node_parts.recommended),
    Route("/node/reason", node_parts.reason),
    Route("/calls", call_pages.calls),
    Route("/call", call_pages.call),
    Route("/prompts", prompt_pages.prompts),
    Route("/prompts/compare", prompt_pages.compare),
    Route("/training", training_pages.training),
    Route("/training/run", training_pages.run),
    Route("/training/curves.png", training_pages.curves),
    Route("/search", search_page.search),
    Route("/search/meaning", search_page.by_meaning),
    Mount("/static", StaticFiles(directory=STATIC)),
]


def build(sources: Sources, port: int | None = None) -> Guard:
    """The application, guarded on the outside: pages that tell a bug of ours are guarded too.

    Requests to another port than `port` are refused.
    """
    app = Starlette(
        routes=ROUTES,
        exception_handlers={
            HopscribeError: _told,
            HTTPException: _not_there,
            500: _broken,
        },
    )
    app.state.sources = sources
    app.state.templates = environment()
    return Guard(app, port)


async def _told(request: Request, error: Exception) -> Response:
    """One of our errors: what is wrong and what to do, with the way back."""
    assert isinstance(error, HopscribeError)
    status = 404 if isinstance(error, UsageError) else 503
    return _page(request, status, error.message, error.hint)


async def _not_there(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = "There is no such page." if error.status_code == 404 else str(error.detail)
    return _page(request, error.status_code, said, "")


async def _broken(request: Request, error: Exception) -> Response:
    """A bug of ours: its traceback is where the page was started."""
    said = "This page could not be made: an error of Hopscribe's own."
    return _page(request, 500, said, "Its traceback is in the terminal that runs `cli.py view`.")


def _page(request: Request, status: int, message: str, hint: str) -> Response:
    template = "part_error.html" if wants_part(request) else "error.html"
    return page(request, template, status, message=message, hint=hint)
