"""Prompt versions: what each was used for, cost, how often its replies failed; two compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from errors import UsageError
from prompts.library import FOLDER
from stores.trails import figures
from stores.trails.figures import Figures, Version
from stores.trails.reading import LEDGER
from viewer.pages import page, word_of
from viewer.sources import Sources
from viewer.words import compared

SHIPPED, OWN = "shipped", "workspace"


@dataclass(frozen=True)
class Template:
    """The text of a prompt version. `key` names it in an address: its ref, or `shipped:NAME`."""

    key: str
    label: str
    name: str
    digest: str
    body: str


def prompts(request: Request) -> Response:
    """Every version this workspace used, by prompt, and what the next run would use."""
    sources: Sources = request.app.state.sources
    used, by_ref = _used(sources)
    present = _files(sources.workspace)
    names = sorted({one.name for one in used} | {one.name for one in present.values()})
    return page(
        request,
        "prompts.html",
        names=names,
        versions={name: [one for one in used if one.name == name] for name in names},
        figures=by_ref,
        present={name: _in_force(present, name) for name in names},
        readable=_readable(used, present),
    )


def compare(request: Request) -> Response:
    """Two versions of prompts, word by word; one alone is shown whole."""
    sources: Sources = request.app.state.sources
    used, by_ref = _used(sources)
    present = _files(sources.workspace)
    readable = _readable(used, present)
    keys = [(one.ref, one.ref) for one in used if one.ref in readable]
    keys += [(one.key, one.label) for one in present.values()]
    a, b = word_of(request, "a"), word_of(request, "b")
    with_text = [_template(sources, present, key) if key else None for key in (a, b)]
    before, after = with_text
    pieces = compared(before.body, after.body) if before and after else []
    return page(
        request,
        "prompt_compare.html",
        keys=keys,
        a=before,
        b=after,
        pieces=pieces,
        figures={one.key: _figures_of(one, by_ref) for one in (before, after) if one},
        changed=any(piece.kind != "same" for piece in pieces),
    )


def _used(sources: Sources) -> tuple[list[Version], Mapping[str, Figures]]:
    if not (sources.workspace / LEDGER).is_file():
        return [], {}
    with sources.reading() as db:
        return figures.versions(db), {one.name: one for one in figures.figures(db, "prompt")}


def _files(workspace: Path) -> dict[str, Template]:
    """The templates on disk: the library's, and those that the workspace has in their place."""
    found = {}
    for label, folder in ((SHIPPED, FOLDER), (OWN, workspace / "prompts")):
        for path in sorted(folder.glob("*.md")):
            body = path.read_text("utf-8", "replace")
            digest = sha256(body.encode()).hexdigest()[:12]
            key = f"{label}:{path.stem}"
            found[key] = Template(key, f"{path.stem}, {label}", path.stem, digest, body)
    return found


def _in_force(present: Mapping[str, Template], name: str) -> Template | None:
    """What the next run would use."""
    return present.get(f"{OWN}:{name}") or present.get(f"{SHIPPED}:{name}")


def _readable(used: Sequence[Version], present: Mapping[str, Template]) -> set[str]:
    """The versions whose text is in the ledger, or still on disk."""
    digests = {one.digest for one in present.values()}
    return {one.ref for one in used if one.known or one.digest in digests}


def _figures_of(one: Template, by_ref: Mapping[str, Figures]) -> Figures | None:
    """What a version took; a file on disk is the version with the same digest."""
    return next((told for ref, told in by_ref.items() if ref.endswith(f":{one.digest}")), None)


def _template(sources: Sources, present: Mapping[str, Template], key: str) -> Template:
    if key in present:
        return present[key]
    body = _kept(sources, key)
    name, _, rest = key.partition("@")
    digest = rest.partition(":")[2]
    if body is None:
        # A version whose text the ledger did not keep may still be the one on disk.
        same = [one for one in present.values() if digest and one.digest == digest]
        if not same:
            raise UsageError(
                f"The text of {key} is not kept in this workspace.",
                hint="Ledgers of older versions kept a prompt's name and digest only.",
            )
        body = same[0].body
    return Template(key, key, name, digest, body)


def _kept(sources: Sources, key: str) -> str | None:
    if not (sources.workspace / LEDGER).is_file():
        return None
    with sources.reading() as db:
        return figures.template(db, key.rpartition(":")[2])
