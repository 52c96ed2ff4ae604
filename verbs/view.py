"""The verb `view`: the local page over a workspace. `cli.py` adds it to its own."""

from typing import Annotated

import typer

from verbs.flags import SAMPLE, AsJson, Data, EmbedderName, Workspace, printed

app = typer.Typer()


@app.command()
def view(
    data: Data = SAMPLE,
    workspace: Workspace = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0: one that is free.")
    ] = 0,
    embedder: EmbedderName = None,
    as_json: AsJson = False,
) -> None:
    """Open a local page: runs, nodes, calls, prompts, search. Read-only; Ctrl-C ends it."""
    import sys

    from verbs.viewing import sources
    from viewer.server import listening, serve

    found = sources(data, workspace, embedder)
    # Data that cannot be read, or is not this workspace's, is told here and not on the page.
    found.place()
    with listening(port) as place:
        printed({"url": f"http://127.0.0.1:{place.getsockname()[1]}/"}, as_json)
        # Whoever reads the address from a pipe wants it before the page ends.
        sys.stdout.flush()
        serve(found, place)
