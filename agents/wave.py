"""The state machine that carries a wave of nodes through one question.

    START -> gather -> draft -+-> commit -> END
                        |     ^
                        v     |
                      repair -+-> fallback -> commit
                       (again, only for nodes whose reply was rejected, while turns are left)

`gather` renders the questions, `draft` asks them, `repair` asks again with the complaint, and
`fallback` lets the extractive writer describe the nodes that have no valid reply. `commit` settles
every node of the wave: none is dropped. What differs between profiles and refinement is a `Stage`.

A wave holds many nodes because one LangGraph invocation costs milliseconds. Each node's own path
is in the ledger: a row per call and an outcome per hop.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agents.ask import Asked, Desk, Question, ask, question, repair
from agents.batch import ask_in_batches
from agents.checks import NOTHING
from agents.manner import Topic
from stores.rows import Outcome

MAX_REPAIRS = 2


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline for its nodes: what is asked, and what a reply makes of a node.

    `about` gives a node's topic, or None when there is nothing to ask; `compose` turns a reply's
    text (or None) into the node's description; `settle` is handed every outcome.
    """

    name: str
    hop: int
    about: Callable[[str], Topic | None]
    compose: Callable[[str, str | None], str]
    settle: Callable[[list[Outcome]], None]


@dataclass(frozen=True)
class Context:
    """What a wave is given besides its nodes."""

    stage: Stage
    desk: Desk
    # So many waves render at a time: the first calls leave before the last wave is rendered.
    rendering: asyncio.Semaphore


class Wave(TypedDict, total=False):
    """The nodes of a wave, what was asked about each, and what came back, by node."""

    nodes: tuple[str, ...]
    questions: Mapping[str, Question]
    asked: Mapping[str, Asked]
    turn: int
    written: Mapping[str, str]


async def gather(state: Wave, runtime: Runtime[Context]) -> Wave:
    """Render each node's question from its neighbourhood."""
    stage, desk = runtime.context.stage, runtime.context.desk
    async with runtime.context.rendering:
        topics = filter(None, map(stage.about, state["nodes"]))
        worded = await desk.engine.render(topics)
    questions = {topic.node: question(desk, topic, said) for topic, said in worded}
    return {"questions": questions, "asked": {}, "turn": 0, "written": {}}


async def draft(state: Wave, runtime: Runtime[Context]) -> Wave:
    """Ask every question."""
    return {"asked": await _ask_all(runtime.context.desk, list(state["questions"].values()))}


async def repair_rejected(state: Wave, runtime: Runtime[Context]) -> Wave:
    """Ask again, with the complaint, about the nodes whose reply was rejected.

    Who said the same again, and heard the same of it, is not asked: the ledger would answer.
    """
    desk = runtime.context.desk
    mended = [(asked, repair(desk, asked)) for asked in _rejected(state)]
    again = [one for asked, one in mended if one.key != asked.question.key]
    desk.tally.repaired += len(again)
    return {
        "asked": {**state["asked"], **await _ask_all(desk, again)},
        "turn": state["turn"] + 1,
    }


async def fallback(state: Wave, runtime: Runtime[Context]) -> Wave:
    """Let the extractive writer describe what no model did."""
    written = {}
    gate, engine = runtime.context.desk.gate, runtime.context.desk.engine
    for node, asked in state["asked"].items():
        if asked.reply is not None:
            gate.usable()
        else:
            gate.gave_up(asked.complaint)
            written[node] = await engine.extract(asked.question.request)
    return {"written": written}


async def commit(state: Wave, runtime: Runtime[Context]) -> Wave:
    """Settle every node of the wave, then let its texts and questions go."""
    context = runtime.context
    outcomes = [_outcome(node, state, context) for node in state["nodes"]]
    tally = context.desk.tally
    tally.fallback += sum(o.status == "fallback" for o in outcomes)
    tally.failed += sum(o.status == "failed" for o in outcomes)
    if context.desk.suppose is None:
        await context.desk.ledger.settle(context.desk.run, outcomes)
    context.stage.settle(outcomes)
    return {"questions": {}, "asked": {}, "written": {}}


def judged(state: Wave) -> Literal["repair", "fallback", "commit"]:
    """Where a wave goes after its replies were checked."""
    if state["turn"] < MAX_REPAIRS and _rejected(state):
        return "repair"
    return "fallback" if any(a.reply is None for a in state["asked"].values()) else "commit"


def build() -> "CompiledStateGraph[Wave, Context, Wave, Wave]":
    """Compile the machine. All wiring is here; all behaviour is in the steps above."""
    graph = StateGraph(Wave, context_schema=Context)
    graph.add_node("gather", gather)
    graph.add_node("draft", draft)
    graph.add_node("repair", repair_rejected)
    graph.add_node("fallback", fallback)
    graph.add_node("commit", commit)
    graph.add_edge(START, "gather")
    graph.add_edge("gather", "draft")
    graph.add_conditional_edges("draft", judged)
    graph.add_conditional_edges("repair", judged)
    graph.add_edge("fallback", "commit")
    graph.add_edge("commit", END)
    # Never a checkpoint, whoever serves the outer machine: the ledger is what a run goes on from.
    return graph.compile(name="wave", checkpointer=False)


def _rejected(state: Wave) -> list[Asked]:
    return [a for a in state["asked"].values() if a.reply is None and not a.end]


async def _ask_all(desk: Desk, questions: list[Question]) -> dict[str, Asked]:
    """Ask all at once, under the shared limits. Every call ends before an error is raised."""
    if desk.whole_stages:
        return await ask_in_batches(desk, questions)
    stored = desk.ledger.find([q.key for q in questions])
    results = await asyncio.gather(
        *(ask(desk, q, stored.get(q.key)) for q in questions), return_exceptions=True
    )
    answers: dict[str, Asked] = {}
    for asked, result in zip(questions, results, strict=True):
        if isinstance(result, BaseException):
            desk.gate.stop(result)
            continue
        answers[asked.node] = result
    if len(answers) < len(questions):
        desk.gate.check()
    return answers


def _outcome(node: str, state: Wave, context: Context) -> Outcome:
    asked = state["asked"].get(node)
    stage, model = context.stage, context.desk.model.name
    if asked is None:
        text = stage.compose(node, None)
        status = "unchanged" if stage.hop and text else "none"
        return Outcome(node, stage.hop, status, 0, "nothing to ask about", "", "", text)
    turns, prompt, key = asked.question.turn + 1, asked.question.prompt.ref, asked.question.key
    if asked.reply is None:
        said = state["written"][node]
        text = stage.compose(node, None if said == NOTHING else said)
        status = "failed" if asked.end == "failed" else "fallback"
        why, writer = asked.complaint, "extractive"
        return Outcome(node, stage.hop, status, turns, why, prompt, writer, text, key)
    said = asked.reply.text
    text = stage.compose(node, None if said == NOTHING else said)
    status = "written" if said != NOTHING else "unchanged" if stage.hop and text else "none"
    return Outcome(node, stage.hop, status, turns, "", prompt, model, text, key)
