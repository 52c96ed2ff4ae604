"""The verbs `traces …`: every call, by run, node, hop and status. `cli.py` adds them."""

from pathlib import Path
from typing import Annotated

import typer

from errors import UsageError
from verbs.flags import SAMPLE, AsJson, Data, Workspace, printed, told

app = typer.Typer(help="Every call: what was sent, what came back, what became of it.")

Run = Annotated[str | None, typer.Option("--run", help="A run's id, or last.")]
Node = Annotated[str | None, typer.Option(help="user:42, item:B003…")]
Hop = Annotated[int | None, typer.Option(help="0: profiles.")]
Stage = Annotated[
    str | None, typer.Option(help="'item profiles', 'user profiles', 'hop 1', embedding, replay.")
]
Status = Annotated[str | None, typer.Option(help="accepted, rejected, failed.")]
Prompt = Annotated[str | None, typer.Option(help="NAME, NAME@1 or NAME@1:4b92.")]
Model = Annotated[str | None, typer.Option(help="openai:gpt-4o-mini, or just its end.")]


@app.command("list")
def traces_list(
    run: Run = None,
    node: Node = None,
    hop: Hop = None,
    stage: Stage = None,
    status: Status = None,
    prompt: Prompt = None,
    model: Model = None,
    cost: Annotated[
        float | None, typer.Option(min=0, help="Dollars, at least; the dearest first.")
    ] = None,
    slow: Annotated[
        float | None, typer.Option(min=0, help="Seconds, at least; the slowest first.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Calls on a page.")] = 30,
    after: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    data: Data = SAMPLE,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Calls, the newest first, a page at a time."""
    from stores.trails.filters import Filter
    from stores.trails.reading import reading
    from verbs.places import workspace_of
    from verbs.traces_shown import show_list
    from verbs.tracing import listed

    given = Filter(run, node, hop, stage, status, prompt, model)
    with reading(workspace_of(data, workspace)) as db:
        found = listed(db, given, slow, cost, after, limit)
    told(found, as_json, show_list)


@app.command("show")
def traces_show(
    call: Annotated[int, typer.Argument(help="A call's id, as `traces list` tells it.")],
    data: Data = SAMPLE,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """One call whole: messages, reply, check, attempts and repairs of the same question."""
    from stores.trails.reading import reading
    from verbs.places import workspace_of
    from verbs.traces_shown import show_call
    from verbs.tracing import whole

    with reading(workspace_of(data, workspace)) as db:
        found = whole(db, call)
    told(found, as_json, show_call)


@app.command("node")
def traces_node(
    node: Annotated[str, typer.Argument(help="user:42, item:B003…")],
    run: Run = None,
    data: Data = SAMPLE,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """A node's life: per hop what it saw, each draft, complaint and repair, and what changed."""
    from stores.trails.reading import reading
    from verbs.places import workspace_of
    from verbs.traces_shown import show_node
    from verbs.tracing import life

    folder = workspace_of(data, workspace)
    with reading(folder) as db:
        found = life(db, folder, data, node, run)
    told(found, as_json, show_node)


@app.command("stats")
def traces_stats(
    by: Annotated[
        list[str] | None,
        typer.Option(help="stage, hop, prompt, model, run, status. Repeatable; the first four."),
    ] = None,
    run: Run = None,
    hop: Hop = None,
    stage: Stage = None,
    status: Status = None,
    prompt: Prompt = None,
    model: Model = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it into this .png.")] = None,
    data: Data = SAMPLE,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Calls, tokens, cost, latency, repair and fallback rates."""
    from stores.trails.filters import Filter
    from stores.trails.reading import reading
    from verbs.places import workspace_of
    from verbs.stats_plot import draw
    from verbs.traces_shown import show_stats
    from verbs.tracing import summed

    given = Filter(run, None, hop, stage, status, prompt, model)
    with reading(workspace_of(data, workspace)) as db:
        found = summed(db, given, by or ["stage", "hop", "prompt", "model"])
    if plot is not None:
        found["plot"] = str(draw(found, plot))
    told(found, as_json, show_stats)


@app.command("replay")
def traces_replay(
    call: Annotated[int, typer.Argument(help="A call's id.")],
    model: Annotated[str | None, typer.Option(help="Ask this one; else the same.")] = None,
    prompt: Annotated[
        str | None, typer.Option(help="With this template: NAME, shipped:NAME, a version, a .md.")
    ] = None,
    data: Data = SAMPLE,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Ask again elsewhere or otherwise, side by side. An experiment: never the node's text."""
    from verbs.places import workspace_of
    from verbs.replaying import replayed
    from verbs.traces_shown import show_replay

    found = replayed(workspace_of(data, workspace), data, call, model, prompt)
    told(found, as_json, show_replay)
    if found["replay"]["status"] == "failed":
        raise typer.Exit(3)


@app.command("export")
def traces_export(
    out: Annotated[Path | None, typer.Option(help="A .jsonl or a .parquet file to make.")] = None,
    otlp: Annotated[
        str | None, typer.Option(help="Send a run to this collector: http://127.0.0.1:4318.")
    ] = None,
    run: Run = None,
    node: Node = None,
    hop: Hop = None,
    stage: Stage = None,
    status: Status = None,
    prompt: Prompt = None,
    model: Model = None,
    data: Data = SAMPLE,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Calls with their messages and replies as JSON lines or parquet; a run as OTLP spans."""
    from stores.trails.filters import Filter
    from stores.trails.reading import reading
    from verbs.places import workspace_of
    from verbs.trace_files import exported, sent
    from verbs.tracing import wanted

    given = Filter(run, node, hop, stage, status, prompt, model)
    if (out is None) == (otlp is None):
        raise UsageError("Say where to: --out FILE or --otlp URL.")
    if otlp is not None and given != Filter(run=run):
        raise UsageError(
            "--otlp sends a whole run.", hint="Of the filters only --run goes with it."
        )
    with reading(workspace_of(data, workspace)) as db:
        if otlp is not None:
            found = sent(db, run or "last", otlp)
        else:
            found = exported(db, wanted(db, given), Path(str(out)))
    printed(found, as_json)
