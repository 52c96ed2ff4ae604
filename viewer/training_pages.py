"""Trained recommenders: test metrics side by side, and each run with its settings and curves."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from errors import StoreError, UsageError
from stores.runs import RUN, read_record
from viewer.pages import page, word_of
from viewer.sources import Sources

MAIN = ("recall@20", "ndcg@20")


@dataclass(frozen=True)
class Record:
    """A training run's folder and what its run.json says; `problem` where that cannot be read, and
    `finished` "" while it is trained.
    """

    name: str
    facts: Mapping[str, Any]
    test: Mapping[str, tuple[float, float | None]]
    finished: str
    problem: str


def records(workspace: Path) -> list[Record]:
    """Training runs, the newest first; unfinished and damaged ones are listed as such."""
    folders = sorted(path for path in (workspace / "runs").glob("*") if path.is_dir())
    found = [_record(folder) for folder in folders]
    return sorted(found, key=lambda one: one.finished or "9", reverse=True)


def training(request: Request) -> Response:
    """All training runs, their metrics side by side."""
    sources: Sources = request.app.state.sources
    found = records(sources.workspace)
    names = list(dict.fromkeys(name for one in found for name in one.test))
    best = {
        name: max((r.test[name][0] for r in found if name in r.test), default=0) for name in names
    }
    return page(request, "training.html", trained=found, names=names, best=best)


def run(request: Request) -> Response:
    """One training run."""
    folder = _named(request)
    record = _record(folder)
    settings = {
        key: value if isinstance(value, str | int | float | bool) else json.dumps(value)
        for key, value in record.facts.get("settings", {}).items()
    }
    has_curves = (folder / "curves.png").is_file()
    return page(request, "training_run.html", one=record, settings=settings, curves=has_curves)


def curves(request: Request) -> Response:
    """The picture of a run's losses and validation."""
    path = _named(request) / "curves.png"
    if not path.is_file():
        raise UsageError(f"{path.parent.name} has no curves yet.")
    return FileResponse(path, media_type="image/png")


def _named(request: Request) -> Path:
    """The folder of the run that is asked for, looked up by name: a path would lead anywhere."""
    sources: Sources = request.app.state.sources
    name = word_of(request, "name") or ""
    for folder in (sources.workspace / "runs").glob("*"):
        if folder.is_dir() and folder.name == name:
            return folder
    raise UsageError(f"No training run {name!r} in this workspace.")


def _record(folder: Path) -> Record:
    if not (folder / RUN).is_file():
        return Record(folder.name, {}, {}, "", "")
    try:
        facts = read_record(folder)
        rows = [one["test"] for one in facts["seeds"]]
        test = {name: _over([row[name] for row in rows]) for name in rows[0]}
    except (StoreError, KeyError, IndexError, TypeError) as error:
        return Record(folder.name, {}, {}, "", str(error))
    return Record(folder.name, facts, test, str(facts["finished"]), "")


def _over(values: list[float]) -> tuple[float, float | None]:
    """Mean and deviation over seeds; no deviation of one."""
    return mean(values), stdev(values) if len(values) > 1 else None
