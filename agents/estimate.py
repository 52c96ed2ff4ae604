"""The price of a run before it is made: the same machines, with replies that are only supposed.

Every prompt is rendered for real, and what the ledger can answer is answered from it. A question
that would be asked is counted, and a filler of the likely length takes the place of its reply, so
that the prompts of the next stage have their likely length too. Nothing is sent, nothing written.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agents.ask import Asked, Question, Tally, judged
from agents.experience import Experience, Habit, learn
from agents.harvest import batch_model
from agents.job import Job
from agents.models.base import Answer, Model
from agents.pipeline import Run
from agents.replies import reply_class
from agents.setup import OWN_PROMPTS, Options, carry_out, make_desk, make_job
from graph_ops.budget import tokens
from stores.datasets import Dataset
from stores.embedders import Embedder
from stores.ledger import Ledger
from stores.prices import in_a_batch
from stores.vectors import Vectors

LOW, LIKELY, HIGH = 0, 1, 2
INPUT_SPREAD = (0.93, 1.0, 1.1)  # of our count of input tokens, where the server's is not known
KNOWN_SPREAD = (0.98, 1.0, 1.03)


@dataclass
class StageEstimate:
    """What a stage would ask, at the most, and for certain. Tokens as (low, likely, high).

    Repairs are included in the tokens and not in the calls.
    """

    calls: int = 0
    certain: int = 0
    input_tokens: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    output_tokens: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])


@dataclass(frozen=True)
class Estimate:
    """What a run would cost. `cost` in nano-dollars (low, likely, high), None: no price known.

    `seconds` is None where nothing is known of the server's speed, `answers` how many earlier
    answers all this was learnt from.
    """

    stages: Mapping[str, StageEstimate]
    stage_costs: Mapping[str, tuple[int, int, int] | None]
    calls: int
    certain: int
    cached: int
    input_tokens: tuple[int, int, int]
    output_tokens: tuple[int, int, int]
    embedding_tokens: int
    embedding_cost: int | None
    cost: tuple[int, int, int] | None
    seconds: float | None
    answers: int


class Supposing:
    """Takes the place of the model: counts each question and supposes a reply.

    With `full` replies are supposed to be as long as they may be, not as they are likely to be.
    """

    def __init__(self, experience: Experience, full: bool = False) -> None:
        self._experience, self._full = experience, full
        self.longest: Question | None = None
        self.stages: dict[str, StageEstimate] = {}
        self._seen: set[str] = set()

    def suppose(self, asked: Question) -> Asked:
        """Count a question and make up its reply. Equal ones are asked once, so they count once."""
        if asked.key not in self._seen:
            self._seen.add(asked.key)
            self._count(asked, self._habit(asked).output)
            if self.longest is None or _size(asked) > _size(self.longest):
                self.longest = asked
        return self.filler(asked)

    def filler(self, asked: Question) -> Asked:
        """A reply of the likely length."""
        header, habit = asked.prompt.header, self._habit(asked)
        # Never the same text twice, or nodes that only seem to be equal would share an answer.
        words = asked.request.max_words if self._full else max(4, habit.words)
        text = " ".join([asked.key[:12], *["filler"] * (words - 1)])
        form = reply_class(header.reply)
        first, second = form.model_fields
        return Asked(asked, form.model_validate({first: text, second: ""}))

    def _habit(self, asked: Question) -> Habit:
        request = asked.request
        return self._experience.habit(asked.prompt.name, request.max_words, request.max_tokens)

    def _count(self, asked: Question, output: tuple[float, float, float]) -> None:
        stage = self.stages.setdefault(asked.stage, StageEstimate())
        stage.calls += 1
        experience = self._experience
        counted = sum(tokens(text) for _, text in asked.request.messages) * experience.ratio
        spread = KNOWN_SPREAD if experience.ratio != 1.0 else INPUT_SPREAD
        repairs = (0.0, experience.repaired, max(0.15, 3 * experience.repaired))
        for case in (LOW, LIKELY, HIGH):
            # A repair shows the question and the reply it is about.
            again = repairs[case]
            stage.input_tokens[case] += counted * spread[case] * (1 + again) + again * output[case]
            stage.output_tokens[case] += output[case] * (1 + again)


async def estimate(
    data: Dataset,
    workspace: Path,
    model: Model,
    embedder: Embedder,
    options: Options,
    on_stage: Callable[[str, int], None],
) -> Estimate:
    """What `agents.run.refine` would ask of `model` and `embedder` with the same arguments."""
    with (
        Ledger(workspace / "ledger.sqlite") as ledger,
        Vectors(workspace / "vectors.sqlite", embedder) as vectors,
    ):
        if options.batch:
            batch_model(model)
        experience = learn(ledger.recent(model.name, model.endpoint))
        supposing = Supposing(experience)
        desk = make_desk("estimate", model, ledger, options)
        desk = replace(desk, suppose=supposing.suppose)
        job = make_job(data, options, desk, workspace / OWN_PROMPTS)
        await carry_out(Run(job, lambda: 0, on_stage))
        if supposing.stages:
            await _count_certain(job, supposing)
        embedding = 0
        if embedder.remote:
            texts = {outcome.text for layer in job.supposed for outcome in layer.values()}
            embedding = sum(map(embedder.count, vectors.missing(texts)))
    costs = {
        name: _cost(model, options.batch, stage.input_tokens, stage.output_tokens)
        for name, stage in supposing.stages.items()
    }
    embedding_cost = embedder.price(embedding)
    known = [cost for cost in (*costs.values(), _spread(embedding_cost)) if cost is not None]
    stages = supposing.stages.values()
    return Estimate(
        stages=supposing.stages,
        stage_costs=costs,
        calls=sum(stage.calls for stage in stages),
        certain=sum(stage.certain for stage in stages),
        cached=desk.tally.cached,
        input_tokens=_three(stage.input_tokens for stage in stages),
        output_tokens=_three(stage.output_tokens for stage in stages),
        embedding_tokens=embedding,
        embedding_cost=embedding_cost,
        cost=_three(known) if len(known) == len(costs) + 1 else None,
        seconds=_seconds(supposing, experience, options),
        answers=experience.answers,
    )


async def _count_certain(job: Job, supposing: Supposing) -> None:
    """Go through the job with the answers that nodes had before.

    A node that had none, or fell back, is supposed to get another text.
    """
    desk, before = job.desk, job.desk.ledger.last_answered()
    seen: set[str] = set()

    def suppose(asked: Question) -> Asked:
        if asked.turn == 0 and asked.key not in seen:
            seen.add(asked.key)
            supposing.stages[asked.stage].certain += 1
        key = before.get((asked.node, asked.hop), "")
        stored = desk.ledger.find([key]).get(key)
        old = stored and judged(desk, asked, Answer(stored.text, stored.finish))
        return old if old and old.reply is not None else supposing.filler(asked)

    again = replace(job, desk=replace(desk, suppose=suppose, tally=Tally()))
    await carry_out(Run(again, lambda: 0, lambda name, nodes: None))


def _seconds(supposing: Supposing, experience: Experience, options: Options) -> float | None:
    """As long as the slots, or the limits that were set, make it last."""
    if not supposing.stages:
        return 0.0
    if experience.seconds is None or options.batch:
        return None
    total = 0.0
    for stage in supposing.stages.values():
        calls = stage.calls * (1 + experience.repaired)
        taken = stage.input_tokens[LIKELY] + stage.output_tokens[LIKELY]
        total += max(
            calls * experience.seconds / options.concurrency,
            experience.seconds,
            60 * calls / (options.per_minute.requests or math.inf),
            60 * taken / (options.per_minute.tokens or math.inf),
        )
    return total


def _size(asked: Question) -> int:
    return sum(len(text) for _, text in asked.request.messages) + 4 * asked.request.max_tokens


def _spread(cost: int | None) -> tuple[int, int, int] | None:
    return None if cost is None else (round(cost * 0.9), cost, round(cost * 1.1))


def _cost(
    model: Model, batch: bool, asked: list[float], said: list[float]
) -> tuple[int, int, int] | None:
    three = [model.price(round(asked[case]), round(said[case])) for case in (LOW, LIKELY, HIGH)]
    if batch:
        three = [in_a_batch(cost) for cost in three]
    known = [cost for cost in three if cost is not None]
    return (known[LOW], known[LIKELY], known[HIGH]) if len(known) == 3 else None


def _three(rows: Iterable[Sequence[float]]) -> tuple[int, int, int]:
    """The sums of three columns."""
    low, likely, high = (round(sum(column)) for column in zip((0, 0, 0), *rows, strict=True))
    return low, likely, high
