"""The verb that hands a workspace's work to others. `cli.py` adds it to its own."""

from pathlib import Path
from typing import Annotated

import typer

from verbs.flags import SAMPLE, AsJson, Chroma, Data, Workspace, printed

app = typer.Typer()


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    format: Annotated[str, typer.Option(help="parquet, rlmrec, recbole.")] = "parquet",
    data: Data = SAMPLE,
    workspace: Workspace = None,
    chroma: Chroma = None,
    hop: Annotated[
        int | None,
        typer.Option(min=0, help="One hop; without it parquet has all, the others the last."),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="A training run, for parquet; the newest by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write descriptions, embeddings and data for other tools."""
    from functools import partial

    from settings import chroma_server
    from settings import load as load_settings
    from stores.exports.export import Asked, exported
    from stores.exports.material import load
    from stores.workspace import claim, occupied
    from verbs.places import must_be_folder, workspace_of

    settings = load_settings({"chroma": chroma}, Path.cwd())
    must_be_folder(data)
    folder = workspace_of(data, workspace)
    with occupied(folder):
        loaded = load(data, folder / "split", settings.seed, partial(claim, folder))
        found = exported(Asked(format, out, hop, run), folder, loaded, chroma_server(settings))
    files = [str(path) for path in found.files]
    printed({"format": format, "out": str(out), "files": files, "counts": found.counts}, as_json)
