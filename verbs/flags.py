"""The flags that several verbs share, and how a verb prints what it found."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

SAMPLE = Path(__file__).parents[1] / "examples" / "sample"

Data = Annotated[Path, typer.Option("--data", help="Data folder; the bundled sample by default.")]
Workspace = Annotated[
    Path | None,
    typer.Option(help="Folder for everything the runs leave; workspace/<data> by default."),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="offline, openai:NAME[@URL], llamacpp:FILE.gguf, or a name in settings.yaml."
    ),
]
EmbedderName = Annotated[
    str | None,
    typer.Option("--embedder", help="minilm, openai:NAME[@URL], llamacpp:FILE.gguf, …"),
]
Chroma = Annotated[
    str | None,
    typer.Option(help="A Chroma server for the descriptions, http://HOST:8000; else a folder."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Only N users and N items, and what they need.")
]
Concurrency = Annotated[int | None, typer.Option("--concurrency", "-j", help="Calls in flight.")]
Neighbours = Annotated[int | None, typer.Option(help="Neighbours a node listens to, at most.")]
Mode = Annotated[
    str | None, typer.Option(help="append a paragraph per hop, or replace the description.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Ask everything anew; old rows are kept.")]
Seed = Annotated[int | None, typer.Option(help="For every random choice.")]
MaxCost = Annotated[
    float | None, typer.Option(min=0, help="Dollars this command may spend; it stops before more.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what it would ask and cost, and ask nothing.")
]
Batch = Annotated[
    bool, typer.Option("--batch", help="By the Batch API: half the price, within a day.")
]
EngineName = Annotated[str, typer.Option("--engine", help="local, or ray: workers on a cluster.")]
RayAddress = Annotated[
    str | None, typer.Option(help="A Ray cluster, HOST:PORT; one on this machine by default.")
]
RayWorkers = Annotated[int | None, typer.Option(min=1, help="Workers; one a core by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last stdout line.")]


def said(words: str) -> None:
    """Words for a person."""
    print(words, file=sys.stderr)


def printed(values: dict[str, Any], as_json: bool) -> None:
    """One JSON object on one line, or a line for each value."""
    if as_json:
        print(json.dumps(values, ensure_ascii=False, default=str))
        return
    for key, value in values.items():
        print(f"{key}: {json.dumps(value, ensure_ascii=False, default=str)}")


def told(found: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    """One JSON object, or what `show` makes of it for a person."""
    if as_json:
        printed(found, as_json)
    else:
        show(found)
