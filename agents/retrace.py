"""A question put together again for those who look: what a node is shown, and the exact messages.

It is what a run asks, made by the same functions from the same texts; nothing is sent. Of the graph
only the node's surroundings are read.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.ask import rendered
from agents.manner import Manner, inputs
from agents.models.base import Request
from agents.setup import OWN_PROMPTS, Options, make_manner
from errors import UsageError
from graph_ops.graph import build
from graph_ops.neighbourhood import RULES
from graph_ops.seen import listened_to
from prompts.library import Prompt, parse
from stores import graph_file
from stores.trails.figures import template
from stores.trails.nodes import described, runs_with
from stores.trails.runs import Run


@dataclass(frozen=True)
class Retraced:
    """A question as a run would ask it. `run` is whose descriptions it shows, "" for none.

    `neighbours` are those whose descriptions it shows, or would if they had any.
    """

    run: str
    prompt: Prompt
    request: Request
    neighbours: tuple[str, ...]


def retrace(
    workspace: Path,
    db: sqlite3.Connection | None,
    how: Manner,
    node: str,
    hop: int,
    run: str = "",
    thinking_tokens: int = 0,
) -> Retraced:
    """The question about a node at a hop, with the descriptions of `run`.

    `run` "" means the newest one that has what the question shows. Raises UsageError for a node
    that is not in the data, and where there is nothing to ask about.
    """
    with graph_file.reading(workspace) as file:
        # What a neighbour weighs may depend on all of its interactions.
        part = graph_file.around(file, node, 2 if how.sampling.rule == "degree-damped" else 1)
    graph = build(part.users, part.items, part.interactions)
    if node not in graph:
        raise UsageError(f"The data has no {node!r}.", hint="A node is user:ID or item:ID.")
    heard, below = listened_to(graph, node, hop, how.sampling), max(hop - 1, 0)
    needed = [node, *heard] if hop else list(heard)
    texts: dict[str, str] = {}
    if db is not None and needed:
        run = run or next(iter(runs_with(db, needed[0], below)), "")
        texts = described(db, run, below, needed)
    given = inputs(how, graph, node, hop, texts)
    if given is None:
        why = f"no neighbour of it has a description at hop {below}" if hop else "nothing is known"
        raise UsageError(
            f"There is nothing to ask about {node} at hop {hop}: {why}.",
            hint="Run refine first." if hop else "",
        )
    prompt = how.prompt(node, hop)
    request = rendered(prompt, given, thinking_tokens)
    return Retraced(run if texts else "", prompt, request, heard)


def manner_of(db: sqlite3.Connection, run: Run, workspace: Path) -> Manner:
    """How a past run asked: its settings, and its own templates as far as the ledger kept them.

    Where it did not (a ledger of an older version), the prompts now in force stand in.
    """
    told = options_of(run.settings)
    how = make_manner(told, workspace / OWN_PROMPTS)
    kept = dict(how.prompts)
    for name, ref in run.settings.get("prompts", {}).items():
        text = template(db, ref.rpartition(":")[2])
        if text is not None:
            kept[name] = parse(name, text)
    return replace(how, prompts=kept)


def options_of(settings: Mapping[str, Any]) -> Options:
    """The options of a run as the ledger has them; what a lost run does not say is the default."""
    shaping = ("seed", "neighbours", "mode", "domain", "language", "evidence_tokens")
    told = {name: settings[name] for name in shaping if name in settings}
    rule = settings.get("sampling", "uniform")
    return Options(
        hops=int(settings.get("hops", 0)),
        sampling=rule if rule in RULES else "uniform",
        thinking_tokens=int(settings.get("thinking_tokens", 0)),
        **told,
    )
