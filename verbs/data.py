"""The verbs `data …`: bring data in, look at it, split it, change it. `cli.py` adds them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from errors import UsageError
from verbs.flags import SAMPLE, AsJson, Chroma, Data, Workspace, printed, said

app = typer.Typer(
    help="Bring data into our layout, look at it, split it, change it.", no_args_is_help=True
)

Changing = Annotated[Path, typer.Option("--data", help="The data folder to change.")]


@app.command("import")
def data_import(
    source: Annotated[Path, typer.Argument(help="A file of interactions, or a folder.")],
    out: Annotated[Path, typer.Option(help="The data folder to make.")],
    append: Annotated[
        bool,
        typer.Option("--append", help="Into a folder there is: new rows join it, known ones edit."),
    ] = False,
    format: Annotated[
        str, typer.Option(help="auto, csv, jsonl, parquet, recbole, amazon, rlmrec.")
    ] = "auto",
    column: Annotated[
        list[str] | None, typer.Option(help="OURS=THEIRS, for instance user_id=uid. Repeatable.")
    ] = None,
    items: Annotated[Path | None, typer.Option(help="A file of items.")] = None,
    users: Annotated[Path | None, typer.Option(help="A file of users.")] = None,
    on_bad_rows: Annotated[str, typer.Option(help="error, or skip: counted and listed.")] = "error",
    encoding: Annotated[str, typer.Option(help="Of text files.")] = "utf-8",
    min_rating: Annotated[
        float | None, typer.Option(help="Leave out interactions rated lower, or not rated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn CSV, JSONL, parquet, RecBole, RLMRec or Amazon reviews into a data folder."""
    from stores import changing
    from stores.formats.importing import Reading, import_data

    columns = _columns(column or [])
    if append:
        how = Reading(format, columns, items, users, on_bad_rows, encoding, min_rating)
        changed = changing.append(source, out, how)
        _tell_skipped(changed.skipped, "")
        printed({"out": str(out), **_counted(changed)}, as_json)
        return
    report = import_data(
        source,
        out,
        format=format,
        columns=columns,
        items=items,
        users=users,
        on_bad_rows=on_bad_rows,
        encoding=encoding,
        min_rating=min_rating,
    )
    _tell_skipped(report.skipped, f", all listed in {out / 'skipped.csv'}")
    if report.rated_lower:
        said(
            f"left out: {report.rated_lower} interactions, rated under {min_rating:g} or not at all"
        )
    if report.left_behind:
        said(f"columns of interactions without use: {', '.join(report.left_behind)}")
    printed(
        {
            "out": str(out),
            "users": report.users,
            "items": report.items,
            "interactions": report.interactions,
            "splits": report.splits,
            "skipped": len(report.skipped),
            "rated_lower": report.rated_lower,
            "left_behind": list(report.left_behind),
        },
        as_json,
    )


@app.command("remove")
def data_remove(
    what: Annotated[
        list[str],
        typer.Argument(help="user:42, item:B003, or a file of user_id and item_id, or one alone."),
    ],
    data: Changing,
    as_json: AsJson = False,
) -> None:
    """Take interactions, users or items out of a data folder; `data forget` cleans workspaces."""
    from stores import changing

    changed = changing.remove(data, changing.doomed(what))
    printed({"data": str(data), **_counted(changed), "absent": changed.absent}, as_json)


@app.command("forget")
def data_forget(
    users: Annotated[list[str], typer.Argument(help="user:42; several may be named.")],
    data: Changing,
    workspace: Workspace = None,
    chroma: Chroma = None,
    as_json: AsJson = False,
) -> None:
    """Take users out of a data folder and out of all that a workspace wrote from their words."""
    from settings import load
    from verbs.forgetting import forget
    from verbs.places import must_be_folder, workspace_of

    must_be_folder(data)
    settings = load({"chroma": chroma}, Path.cwd())
    told = forget(data, workspace_of(data, workspace), users, settings)
    printed(told, as_json)
    if told["unknown"] and not told.get("calls"):
        said(f"Nothing is known of {told['unknown']} of these users: are the ids right?")
    if told["still_in"]:
        said("Words of theirs still stand in the files under still_in: look there yourself.")
        raise typer.Exit(3)


@app.command("describe")
def data_describe(data: Data = SAMPLE, as_json: AsJson = False) -> None:
    """Count what a data folder holds."""
    from stores.datasets import describe

    printed(describe(data), as_json)


@app.command("split")
def data_split(
    data: Annotated[Path, typer.Option("--data", help="The data folder to split.")],
    scheme: Annotated[str, typer.Option(help="ratio (3:1:1), leave-one-out or time.")] = "ratio",
    seed: Annotated[int, typer.Option(help="For the random choices.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the split it has.")] = False,
    as_json: AsJson = False,
) -> None:
    """Split a data folder once and write the split down in it, with counts and hashes."""
    from stores.splits import write_split

    printed(dict(write_split(data, scheme=scheme, seed=seed, force=force)), as_json)


def _counted(changed: Any) -> dict[str, Any]:
    facts = asdict(changed)
    del facts["absent"]
    return {**facts, "skipped": len(changed.skipped)}


def _tell_skipped(skipped: Sequence[Any], where: str) -> None:
    for bad in skipped[:20]:
        said(f"skipped {bad.file}, row {bad.row}: {bad.reason}")
    if len(skipped) > 20:
        said(f"… and {len(skipped) - 20} more{where}")


def _columns(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if not all(pair.partition("=")):
            raise UsageError(f"--column {pair!r} is not OURS=THEIRS.", hint="user_id=reviewerID")
    return {ours: theirs for ours, _, theirs in (pair.partition("=") for pair in pairs)}
