"""Every prompt rendered on real data, in every domain and both modes, before anybody pays for it.

The machines of a run carry it out, with made-up replies as long as replies may be: what is rendered
is what a run over this data would send at its longest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

from agents.ask import Asked, Desk, Question, rendered
from agents.estimate import Supposing
from agents.experience import learn
from agents.job import Job
from agents.manner import Manner, Mode
from agents.models.base import Evidence
from agents.models.offline import Offline
from agents.pipeline import Run
from agents.setup import Options, carry_out, make_desk, make_job
from errors import PromptError
from graph_ops.budget import tokens
from graph_ops.evidence import ItemEvidence, UserEvidence
from prompts.library import Prompt, domain
from stores.datasets import Dataset
from stores.ledger import Ledger

SOME = 10
"""Users and items that are rendered; what their hops need below them comes along."""
# A text stands between a fence and a label of its own, which its share of the budget does not hold.
AROUND = 4


@dataclass
class Rehearsed:
    """How a prompt did: questions rendered, tokens of the longest one, what was wrong, each once.

    `longest` does not include the reply, which may take `reply` tokens.
    """

    prompt: str
    reply: int
    questions: int = 0
    longest: int = 0
    problems: list[str] = field(default_factory=list)

    def wrong(self, what: str) -> None:
        if what not in self.problems:
            self.problems.append(what)


async def rehearse(
    data: Dataset,
    ledger: Ledger,
    options: Options,
    prompts: Mapping[str, Prompt],
    domains: Iterable[str],
    room: int | None,
) -> list[Rehearsed]:
    """Render `prompts` for some nodes of the data. `ledger` is an empty one; nothing is written.

    `room` is the context of the model in tokens, where it is known.
    """
    found = {
        name: Rehearsed(prompt.ref, prompt.header.max_tokens) for name, prompt in prompts.items()
    }
    told = replace(options, hops=1, limit=SOME, fresh=False, batch=False)
    job = make_job(data, told, make_desk("rehearsal", Offline(), ledger, told))
    for words in domains:
        for mode in get_args(Mode):
            how = replace(job.manner, domain=domain(words), mode=mode, prompts=prompts)
            await _carry_out(replace(job, manner=how), found, room)
    return list(found.values())


async def _carry_out(job: Job, found: Mapping[str, Rehearsed], room: int | None) -> None:
    supposing = Supposing(learn([]), full=True)

    def suppose(asked: Question) -> Asked:
        one = found[asked.prompt.name]
        one.questions += 1
        took = sum(tokens(text) for _, text in asked.request.messages)
        one.longest = max(one.longest, took)
        if problem := _problem(job.manner, asked, took, room):
            one.wrong(problem)
        return supposing.suppose(asked)

    desk: Desk = replace(job.desk, suppose=suppose)
    try:
        await carry_out(Run(replace(job, desk=desk), lambda: 0, lambda name, nodes: None))
    except PromptError as error:
        # The message begins with the prompt's name.
        for name, one in found.items():
            if f"Prompt {name} " in error.message:
                one.wrong(error.message)


def _problem(how: Manner, asked: Question, took: int, room: int | None) -> str:
    bare, pieces = _without_texts(asked.request.evidence)
    given = {
        "domain": how.domain,
        "language": how.language,
        "mode": how.mode,
        "max_words": asked.request.max_words,
        "evidence": bare,
    }
    frame = sum(tokens(text) for _, text in rendered(asked.prompt, given).messages)
    budget = how.evidence_tokens + AROUND * pieces
    if took - frame > budget:
        return f"it shows {took - frame} tokens of evidence; the budget is {how.evidence_tokens}."
    if room is not None and took + asked.request.max_tokens > room:
        return (
            f"a question and its reply take {took + asked.request.max_tokens} tokens; "
            f"the model has room for {room}."
        )
    return ""


def _without_texts(shown: Evidence) -> tuple[Evidence, int]:
    """The same evidence with a sign in place of each text that the budget is for; how many."""
    if isinstance(shown, ItemEvidence):
        reviews = tuple(replace(one, text="x") for one in shown.reviews)
        description = "x" if shown.description else None
        return replace(shown, description=description, reviews=reviews), 1 + len(reviews)
    if isinstance(shown, UserEvidence):
        chosen = tuple(replace(one, profile="x", review="x") for one in shown.chosen)
        return replace(shown, chosen=chosen), 2 * len(chosen)
    told = tuple(replace(one, text="x") for one in shown.neighbours)
    return replace(shown, own="x", neighbours=told), 1 + len(told)
