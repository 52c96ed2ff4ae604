"""The verbs `prompts …`: versioned templates, what they cost, what they say. `cli.py` adds them."""

from typing import Annotated

import typer

from verbs.flags import SAMPLE, AsJson, Data, Workspace, printed, told

app = typer.Typer(help="The words that models are told: versions, cost, changes.")

Name = Annotated[
    str,
    typer.Argument(help="A name, shipped:NAME, or a version: NAME@1:4b92 (cut short is fine)."),
]


@app.command("list")
def prompts_list(data: Data = SAMPLE, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Every prompt: the version in force, and the calls and cost of each version so far."""
    from verbs.places import workspace_of
    from verbs.prompting import listed
    from verbs.prompts_shown import show_list

    told(listed(workspace_of(data, workspace)), as_json, show_list)


@app.command("show")
def prompts_show(
    name: Name, data: Data = SAMPLE, workspace: Workspace = None, as_json: AsJson = False
) -> None:
    """The file of a prompt: the one in force, the shipped one, or an earlier version."""
    from verbs.places import workspace_of
    from verbs.prompting import shown
    from verbs.prompts_shown import show_file

    told(shown(workspace_of(data, workspace), name), as_json, show_file)


@app.command("render")
def prompts_render(
    name: Name,
    node: Annotated[str, typer.Option(help="user:42, item:B003…")],
    hop: Annotated[int | None, typer.Option(min=0, help="Of a refinement; 1 by default.")] = None,
    run: Annotated[str | None, typer.Option(help="Whose descriptions are shown.")] = None,
    data: Data = SAMPLE,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """The exact messages for a real node, with their tokens. Nothing is sent."""
    from verbs.prompting import rendered
    from verbs.prompts_shown import show_messages

    told(rendered(data, workspace, name, node, hop, run), as_json, show_messages)


@app.command("diff")
def prompts_diff(
    a: Name,
    b: Annotated[
        str | None, typer.Argument(help="Another; else the shipped A against the workspace's.")
    ] = None,
    data: Data = SAMPLE,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """What changed between two versions."""
    from verbs.places import workspace_of
    from verbs.prompting import compared
    from verbs.prompts_shown import show_difference

    told(compared(workspace_of(data, workspace), a, b), as_json, show_difference)


@app.command("check")
def prompts_check(
    data: Data = SAMPLE, workspace: Workspace = None, as_json: AsJson = False
) -> None:
    """Render every prompt on real data in every domain; does it hold the budget of evidence?"""
    from verbs.prompting import checked
    from verbs.prompts_shown import show_check

    found = checked(data, workspace)
    told(found, as_json, show_check)
    if not found["ok"]:
        raise typer.Exit(2)


@app.command("eject")
def prompts_eject(
    name: Annotated[str, typer.Argument(help="A prompt's name.")],
    data: Data = SAMPLE,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Copy a shipped prompt into the workspace, where it is edited and takes its place."""
    from verbs.places import workspace_of
    from verbs.prompting import ejected

    printed(ejected(workspace_of(data, workspace), name), as_json)
