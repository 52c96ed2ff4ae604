"""Templates into responses: one Jinja environment, its filters, and which of two forms is sent.

A request by htmx gets the part of the page that it asked for; everybody else gets a whole page.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from graph_ops.graph import id_of, kind_of
from viewer.text import excerpt, fenced, language_code, shown, visible

HERE = Path(__file__).parent
STATIC = HERE / "static"


def environment() -> Environment:
    """Everything is escaped; a name that is not there is an error, not an empty place."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        shown=shown,
        fenced=fenced,
        visible=visible,
        excerpt=excerpt,
        money=money,
        number=number,
        share=share,
        lasting=lasting,
        milliseconds=milliseconds,
        moment=moment,
        ago=ago,
        kind=kind_of,
        id=id_of,
        language=language_code,
    )
    made.globals.update(node_url=node_url, url=url, asset=_assets())
    return made


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. A part (`part_…`) that somebody opens by its own address is put into a whole one."""
    templates: Environment = request.app.state.templates
    common = {"path": request.url.path, "workspace": request.app.state.sources.workspace.name}
    if template.startswith("part_") and not wants_part(request):
        common["part"], template = template, "wrapped.html"
    return HTMLResponse(templates.get_template(template).render(**common, **values), status)


def wants_part(request: Request) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("hx-request") == "true"


def number_of(request: Request, name: str) -> int | None:
    """A whole number of the query; None where it is missing or none."""
    value = request.query_params.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 19 else None


def word_of(request: Request, name: str) -> str | None:
    """A text of the query; None where it is missing or empty."""
    return request.query_params.get(name, "").strip() or None


def url(path: str, query: Mapping[str, object] | None = None, **more: object) -> str:
    """An address on this page; what is None is left out."""
    given = {k: v for k, v in {**(query or {}), **more}.items() if v is not None}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path


def node_url(node: str, **more: object) -> str:
    """The page of a node."""
    return url("/node", {"n": node}, **more)


def money(nano: int | None, unpriced: int = 0) -> str:
    """Nano-dollars for a person. What has no known price is not free."""
    if nano is None or (unpriced and not nano):
        return "unpriced"
    dollars = nano / 1e9
    shown_ = "$0" if not nano else f"${dollars:.4f}" if dollars < 1 else f"${dollars:,.2f}"
    return f"{shown_} + unpriced" if unpriced else shown_


def number(value: int | float | None) -> str:
    return "–" if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """A share of one in per cent."""
    if value is None:
        return "–"
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.1f} %"


def lasting(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def milliseconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def moment(seconds: float | None) -> str:
    """Unix seconds as the clock on this machine's wall had it."""
    if seconds is None:
        return "–"
    then = datetime.fromtimestamp(seconds).astimezone()
    year = "" if then.year == datetime.now(then.tzinfo).year else " %Y"
    return f"{then.day} " + then.strftime(f"%b{year}, %H:%M:%S")


def ago(seconds: float | None) -> str:
    """How long ago a moment was."""
    return "never" if seconds is None else f"{lasting(max(0.0, time.time() - seconds))} ago"


def _assets() -> Mapping[str, str]:
    """Addresses of our files; each changes with the file, so a browser may keep what it has."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if path.suffix in {".css", ".js", ".woff2", ".svg"}:
            name = path.relative_to(STATIC).as_posix()
            found[name] = f"/static/{name}?{sha256(path.read_bytes()).hexdigest()[:8]}"
    return found
