"""The verbs that train, test and answer. `cli.py` adds them to its own."""

import math
from pathlib import Path
from typing import Annotated

import typer

from errors import UsageError
from verbs.flags import SAMPLE, AsJson, Chroma, Data, Workspace, printed

app = typer.Typer()
MOST_DRAWN = 1_000_000

RunName = Annotated[
    str | None, typer.Option("--run", help="A training run; the newest by default.")
]
Top = Annotated[int, typer.Option("--top", "-k", min=1, help="How many.")]
Ann = Annotated[
    bool, typer.Option("--ann", help="Search approximately, by an index made once (extra: ann).")
]
Hop = Annotated[
    str | None, typer.Option(help="Whose texts: a hop, or all; the last one by default.")
]
MaskVal = Annotated[
    bool, typer.Option("--mask-val", help="Do not recommend validation items in the test.")
]


@app.command()
def train(
    backbone: Annotated[str, typer.Option(help="lightgcn, gccf, sgl, simgcl, dccf, autocf.")] = (
        "lightgcn"
    ),
    align: Annotated[str, typer.Option(help="none, contrastive, generative, fusion.")] = "none",
    hop: Hop = None,
    data: Data = SAMPLE,
    workspace: Workspace = None,
    chroma: Chroma = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="Text embeddings from a file instead: .npz, .parquet, …")
    ] = None,
    preset: Annotated[str, typer.Option(help="matched or paper, or as paper:yelp.")] = "matched",
    seeds: Annotated[int, typer.Option(min=1, help="How many: 0, 1, …")] = 1,
    shuffled: Annotated[
        bool, typer.Option("--shuffled", help="The control: each node has another node's text.")
    ] = False,
    weight: Annotated[float | None, typer.Option(min=0, help="Of the alignment.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0.01, help="Of the alignment.")] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Choose both on validation, from a small grid.")
    ] = False,
    dim: Annotated[int, typer.Option(min=1, help="Width of the ID embeddings.")] = 32,
    batch: Annotated[int, typer.Option(min=1, help="Triples in a step.")] = 4096,
    epochs: Annotated[int, typer.Option(min=1, help="At most.")] = 3000,
    learning_rate: Annotated[float, typer.Option(min=1e-8)] = 1e-3,
    patience: Annotated[int, typer.Option(min=1, help="Validations without a gain.")] = 5,
    fanout: Annotated[
        str | None,
        typer.Option(
            help="Neighbours drawn in a step, a number a layer, as 10,2,1; else the whole graph."
        ),
    ] = None,
    mask_val: MaskVal = False,
    half: Annotated[
        bool,
        typer.Option("--half", help="Project and contrast in bfloat16: faster, a little coarser."),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    fresh: Annotated[bool, typer.Option("--fresh", help="Train anew what was trained.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a graph recommender, aligned with the descriptions or not, and test it.

    With several processes: torchrun --nproc-per-node 2 cli.py train …
    """
    from training.experiment import Spec
    from training.group import joined
    from training.presets import preset as settings_of
    from training.trainer import Plan
    from verbs import learning, scoreboard

    given = {"weight": weight, "temperature": temperature}
    given = {name: value for name, value in given.items() if value is not None}
    _finite(**given, learning_rate=learning_rate)
    if given and align not in ("contrastive", "generative"):
        raise UsageError(f"--align {align} has no {' and no '.join(given)}.")
    if given and tune:
        raise UsageError(f"--tune chooses weight and temperature: leave --{' and --'.join(given)}.")
    for flag, on in (("--shuffled", shuffled), ("--hop", hop), ("--embeddings", embeddings)):
        if on and align == "none":
            raise UsageError(f"{flag} is for an alignment.", hint="Say --align contrastive.")
    if embeddings is not None and hop is not None:
        raise UsageError("--hop chooses among the workspace's texts: leave it or --embeddings out.")
    found = settings_of(preset, data.resolve().name, backbone, align)
    spec = Spec(
        backbone=backbone,
        align=align,
        backbone_options={**found.backbone, "dim": dim},
        align_options={**found.align, **given},
        decay=found.decay,
        shuffled=shuffled,
        mask_val=mask_val,
        half=half,
        plan=Plan(
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            patience=patience,
            fanouts=_fanouts(fanout),
        ),
    )
    with joined() as group, learning.ground(data, workspace, chroma, group) as place:
        text, label = learning.no_text(place), "no-text"
        if align != "none":
            text, label = learning.text_of(place, hop, embeddings)
        lesson = learning.Lesson(spec, list(range(seeds)), device, fresh, tune)
        board = scoreboard.silent() if group.rank else scoreboard.board()
        summary = learning.train(place, lesson, text, label, board)
    if group.rank:
        return
    scoreboard.show_scores(summary)
    if as_json:
        printed(summary, as_json)


def _fanouts(given: str | None) -> tuple[int, ...]:
    words = given.split(",") if given else []
    if not all(word.strip().isdecimal() and 0 < int(word) <= MOST_DRAWN for word in words):
        raise UsageError(
            f"--fanout {given}: give a number from 1 to {MOST_DRAWN:,} for each layer, as 10,2,1."
        )
    return tuple(map(int, words))


def _finite(**flags: float | None) -> None:
    """Typer takes inf and nan for numbers, and a least value lets inf through."""
    for name, value in flags.items():
        if value is not None and not math.isfinite(value):
            raise UsageError(f"--{name.replace('_', '-')} {value}: give a finite number.")


@app.command()
def evaluate(
    what: Annotated[str, typer.Argument(help="pop, ease, text, or a run's name.")],
    data: Data = SAMPLE,
    workspace: Workspace = None,
    chroma: Chroma = None,
    hop: Hop = None,
    penalty: Annotated[
        float | None, typer.Option(min=0, help="EASE's λ; chosen on validation by default.")
    ] = None,
    mask_val: MaskVal = False,
    as_json: AsJson = False,
) -> None:
    """Test a trained run or a baseline: popularity, EASE, text alone."""
    from verbs import answers, scoreboard

    _finite(penalty=penalty)
    found = answers.evaluate(data, workspace, what, mask_val, penalty, hop, chroma)
    scoreboard.show_scores(found)
    if as_json:
        printed(found, as_json)


@app.command()
def recommend(
    user: Annotated[str, typer.Argument(help="A user's id.")],
    data: Data = SAMPLE,
    workspace: Workspace = None,
    run: RunName = None,
    top: Top = 10,
    ann: Ann = False,
    as_json: AsJson = False,
) -> None:
    """The items a trained run recommends to a user."""
    from verbs import answers, scoreboard

    with answers.desk(data, workspace, run) as at:
        found = answers.recommend(at, user, top, ann)
    scoreboard.show_recall(found)
    scoreboard.show_items(f"For user {user}, by {found['run']}:", found["items"])
    if as_json:
        printed(found, as_json)


@app.command()
def similar(
    item: Annotated[str, typer.Argument(help="An item's id.")],
    by: Annotated[str, typer.Option(help="trained embeddings, or text.")] = "trained",
    data: Data = SAMPLE,
    workspace: Workspace = None,
    chroma: Chroma = None,
    run: RunName = None,
    top: Top = 10,
    ann: Ann = False,
    as_json: AsJson = False,
) -> None:
    """The items nearest to an item."""
    from verbs import answers, scoreboard

    with answers.desk(data, workspace, run, chroma) as at:
        found = answers.similar(at, item, top, by, ann)
    scoreboard.show_recall(found)
    scoreboard.show_items(f"Near item {item}, by {by} embeddings:", found["items"])
    if as_json:
        printed(found, as_json)


@app.command()
def explain(
    user: Annotated[str, typer.Argument(help="A user's id.")],
    item: Annotated[str, typer.Argument(help="An item's id.")],
    data: Data = SAMPLE,
    workspace: Workspace = None,
    chroma: Chroma = None,
    run: RunName = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Reasons of each kind.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Why a run ranks an item where it does for a user: likeness, graph paths, descriptions."""
    from verbs import answers, scoreboard

    with answers.desk(data, workspace, run, chroma) as at:
        found = answers.explain(at, user, item, top)
    scoreboard.show_reasons(found)
    if as_json:
        printed(found, as_json)
