"""The parts of a node's page that come later: picture, nearest nodes, recommendations, reasons."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from errors import UsageError
from stores.trails import nodes
from stores.trails import runs as trails
from stores.trails.reading import LEDGER
from viewer.drawing import drawing
from viewer.evidence import told
from viewer.pages import page, word_of
from viewer.sources import Place, Sources
from viewer.training_pages import records

NEAREST, BEST, WHY = 8, 10, 5


def graph(request: Request) -> Response:
    """The neighbourhood as values for the page's script."""
    sources: Sources = request.app.state.sources
    name, place = _asked(request)
    run, settings, hops = "", {}, [0]
    if (sources.workspace / LEDGER).is_file():
        with sources.reading() as db:
            if nodes.runs_with(db, name):
                life = nodes.life(db, name, word_of(request, "run"))
                run, hops = life[0].run, [one.hop for one in life]
                settings = dict(trails.run(db, run).settings)
    return JSONResponse(drawing(place.graph, told(run, settings), name, hops, place.title))


def nearest(request: Request) -> Response:
    """The nodes of the same kind that are nearest by text, or in a trained run's space."""
    sources: Sources = request.app.state.sources
    name, place = _asked(request)
    if word_of(request, "by") == "trained":
        trained = sources.trained(word_of(request, "trained"), place.data)
        near = [(node, score, "") for node, score in trained.nearest(name, NEAREST)]
        return page(request, "part_nearest.html", near=near, place=place, by=trained.name)
    with sources.reading() as db:
        hits = sources.meaning.nearest(db, name, NEAREST)
    near = [(hit.node, hit.score, hit.text) for hit in hits]
    return page(request, "part_nearest.html", near=near, place=place, by="")


def recommended(request: Request) -> Response:
    """What a trained run recommends to a user, each with the own item that it is most like."""
    sources: Sources = request.app.state.sources
    name, place = _asked(request)
    trained = sources.trained(word_of(request, "trained"), place.data)
    done = [one.name for one in records(sources.workspace) if one.finished]
    return page(
        request,
        "part_recommended.html",
        node=name,
        best=trained.recommended(name, BEST),
        trained=trained.name,
        done=done,
        place=place,
    )


def reason(request: Request) -> Response:
    """Why an item ranks where it does for a user."""
    sources: Sources = request.app.state.sources
    name, place = _asked(request)
    item = word_of(request, "item") or ""
    trained = sources.trained(word_of(request, "trained"), place.data)
    why = trained.reason(name, item, WHY)
    return page(request, "part_reason.html", node=name, item=item, why=why, place=place)


def _asked(request: Request) -> tuple[str, Place]:
    sources: Sources = request.app.state.sources
    name, place = word_of(request, "n") or "", sources.place()
    if place is None:
        raise UsageError("The data is not split yet.", hint="A run does that first.")
    if name not in place.graph:
        raise UsageError(f"The data has no node {name!r}.")
    return name, place
