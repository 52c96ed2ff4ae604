"""The command line: parse, call, print. The only place where our errors become messages.

Words and progress go to stderr; with --json exactly one JSON object is the last line of stdout.
Exit codes: 0 done, 2 user error, 3 ended with failed nodes or stopped early, 130 interrupted.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from errors import HopscribeError, UsageError
from verbs import data as data_verbs
from verbs import export as export_verb
from verbs import prompt as prompt_verbs
from verbs import trace as trace_verbs
from verbs import train as train_verbs
from verbs import view as view_verb
from verbs.flags import (
    SAMPLE,
    AsJson,
    Batch,
    Chroma,
    Concurrency,
    Data,
    DryRun,
    EmbedderName,
    EngineName,
    Fresh,
    Limit,
    MaxCost,
    Mode,
    Model,
    Neighbours,
    RayAddress,
    RayWorkers,
    Seed,
    Workspace,
    printed,
    said,
)

app = typer.Typer(
    name="cli.py",
    help="Hopscribe: agents write and refine a description of every node of a user-item graph.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="See which models there are; prove one fit.", no_args_is_help=True)
app.add_typer(data_verbs.app, name="data")
app.add_typer(models_app, name="models")
stores_app = typer.Typer(help="Look after what a workspace holds.", no_args_is_help=True)
app.add_typer(stores_app, name="stores")
batch_app = typer.Typer(help="The batches of refine --batch.", no_args_is_help=True)
app.add_typer(batch_app, name="batch")
app.add_typer(prompt_verbs.app, name="prompts")
app.add_typer(trace_verbs.app, name="traces")
app.add_typer(train_verbs.app)
app.add_typer(export_verb.app)
app.add_typer(view_verb.app)


@app.command()
def refine(
    hops: Annotated[int, typer.Option(min=0, max=10, help="Layers of refinement.")] = 2,
    data: Data = SAMPLE,
    workspace: Workspace = None,
    model: Model = None,
    embedder: EmbedderName = None,
    chroma: Chroma = None,
    limit: Limit = None,
    concurrency: Concurrency = None,
    neighbours: Neighbours = None,
    mode: Mode = None,
    fresh: Fresh = False,
    seed: Seed = None,
    max_cost: MaxCost = None,
    batch: Batch = False,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
    ray_workers: RayWorkers = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write profiles, refine them hop by hop, embed them. The main job."""
    flags = {
        "model": model,
        "embedder": embedder,
        "chroma": chroma,
        "concurrency": concurrency,
        "neighbours": neighbours,
        "mode": mode,
        "seed": seed,
    }
    told = {"hops": hops, "limit": limit, "fresh": fresh, "batch": batch, "max_cost": max_cost}
    place = {"engine": engine, "ray_address": ray_address, "ray_workers": ray_workers}
    _refine(data, workspace, told | place, flags, dry_run, as_json)


@app.command()
def profile(
    data: Data = SAMPLE,
    workspace: Workspace = None,
    model: Model = None,
    embedder: EmbedderName = None,
    chroma: Chroma = None,
    limit: Limit = None,
    concurrency: Concurrency = None,
    fresh: Fresh = False,
    seed: Seed = None,
    max_cost: MaxCost = None,
    batch: Batch = False,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
    ray_workers: RayWorkers = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write the profiles only (hop 0): the same as refine --hops 0."""
    flags = {
        "model": model,
        "embedder": embedder,
        "chroma": chroma,
        "concurrency": concurrency,
        "seed": seed,
    }
    told = {"hops": 0, "limit": limit, "fresh": fresh, "batch": batch, "max_cost": max_cost}
    place = {"engine": engine, "ray_address": ray_address, "ray_workers": ray_workers}
    _refine(data, workspace, told | place, flags, dry_run, as_json)


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """The model and the embedder in use, and those named in settings.yaml."""
    from settings import load
    from verbs.roster import listed

    rows = listed(load({}, Path.cwd()))
    for row in [] if as_json else rows:
        said("  ".join(f"{key}={value}" for key, value in row.items() if value is not None))
    if as_json:
        printed({"models": rows}, as_json)


@models_app.command("check")
def models_check(
    name: Annotated[str, typer.Argument(help="offline, openai:NAME[@URL], … or a name of yours.")],
    data: Data = SAMPLE,
    embedder: Annotated[bool, typer.Option("--embedder", help="It is an embedder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove a model fit for this data: reachable, key, context, form of the reply, concurrency."""
    from settings import load
    from verbs.roster import check

    findings = check(load({}, Path.cwd()), name, data, embedder)
    problems = [one for one in findings if one.good is False]
    for one in findings:
        mark = {True: "ok", False: "NO", None: "? "}[one.good]
        said(f"{mark}  {one.what}: {one.words}" + (f"\n      {one.hint}" if one.hint else ""))
    if as_json:
        told = [f"{one.what}: {one.words} {one.hint}".strip() for one in problems]
        printed({"name": name, "ok": not problems, "problems": told}, as_json)
    if problems:
        raise typer.Exit(2)


@stores_app.command("rebuild")
def stores_rebuild(
    workspace: Annotated[Path, typer.Option("--workspace", help="The workspace to mend.")],
    embedder: EmbedderName = None,
    chroma: Chroma = None,
    as_json: AsJson = False,
) -> None:
    """Mend damaged stores from each other, without a call; what was damaged is kept beside."""
    from dataclasses import asdict

    from settings import chroma_server, connection, load
    from stores.embedders import Embedder, open_embedder
    from stores.rebuild import rebuild
    from stores.workspace import occupied

    if not workspace.is_dir():
        raise UsageError(f"--workspace: {workspace} is not a folder.")
    settings = load({"embedder": embedder, "chroma": chroma}, Path.cwd())

    def opened(last: str) -> Embedder:
        return open_embedder(connection(settings.reach(embedder or last or settings.embedder)))

    with occupied(workspace):
        printed(asdict(rebuild(workspace, opened, chroma_server(settings))), as_json)


@batch_app.command("status")
def batch_status(data: Data = SAMPLE, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """List a workspace's batches, with what the server says of them now."""
    _batches("status", data, workspace, as_json)


@batch_app.command("fetch")
def batch_fetch(data: Data = SAMPLE, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Record what ended batches brought, expired and cancelled ones too; asks nothing."""
    _batches("fetch", data, workspace, as_json)


@batch_app.command("cancel")
def batch_cancel(
    batch: Annotated[str | None, typer.Argument(help="As `batch status` calls it.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every open one.")] = False,
    data: Data = SAMPLE,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Cancel a batch, wait until the server confirms, and record what was finished."""
    if (batch is None) != every:
        raise UsageError("Name one batch, or say --all.", hint="See: python cli.py batch status")
    _batches("cancel", data, workspace, as_json, batch)


def _batches(
    verb: str, data: Path, workspace: Path | None, as_json: bool, *which: str | None
) -> None:
    import asyncio

    from settings import load
    from verbs import batching
    from verbs.terminal import show_batches

    folder = workspace or Path("workspace") / data.resolve().name
    found = asyncio.run(getattr(batching, verb)(folder, load({}, Path.cwd()), *which))
    show_batches(found)
    if as_json:
        printed(found, as_json)


def _refine(
    data: Path,
    workspace: Path | None,
    told: dict[str, Any],
    flags: dict[str, Any],
    dry_run: bool,
    as_json: bool,
) -> None:
    import asyncio

    from verbs.session import estimate, open_session, run

    with open_session(data, workspace, flags, told, not dry_run) as session:
        code = asyncio.run((estimate if dry_run else run)(session, as_json))
    if code:
        raise typer.Exit(code)


def main() -> None:
    """Run a verb and turn our errors into a message and an exit code."""
    try:
        app()
    except HopscribeError as error:
        said(error.message + (f"\n{error.hint}" if error.hint else ""))
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
