"""What the ledger's calls tell about the next ones: tokens, repairs, seconds.

Without any, cautious guesses of our own stand in, and an estimate says so.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graph_ops.budget import tokens
from stores.rows import Past

# A reply of 60 % of its limit, 1.35 tokens a word, a sentence of reasoning and the JSON around it.
FILLED, TOKENS_PER_WORD, AROUND = 0.6, 1.35, 45
REPAIRED = 0.05
FEW = 10  # answers of a prompt before they are believed


@dataclass(frozen=True, slots=True)
class Habit:
    """How replies to one prompt turn out: output tokens (low, likely, high) and words kept."""

    output: tuple[float, float, float]
    words: int


@dataclass(frozen=True, slots=True)
class Experience:
    """`ratio` is the server's count of input tokens over ours, `repaired` repairs a question.

    `seconds` is for a call, None: unknown.
    """

    answers: int
    ratio: float
    repaired: float
    seconds: float | None
    habits: Mapping[str, Habit]

    def habit(self, prompt: str, max_words: int, max_tokens: int) -> Habit:
        """What to expect of a prompt (by its name, whatever the version)."""
        known = self.habits.get(prompt)
        if known is not None:
            return known
        likely = FILLED * max_words * TOKENS_PER_WORD + AROUND
        return Habit((likely / 2, likely, float(max_tokens)), round(FILLED * max_words))


def learn(past: Sequence[Past]) -> Experience:
    """Sum up what earlier calls of the same model at the same address took."""
    counted = [p for p in past if p.input_tokens]
    ours = sum(tokens(text) for p in counted for text in p.messages)
    theirs = sum(p.input_tokens or 0 for p in counted)
    # What came in a batch tells nothing of a call's duration.
    waited = [p.latency_ms for p in past if p.latency_ms]
    enough = len(past) >= FEW
    first = sum(p.turn == 0 for p in past)
    return Experience(
        answers=len(past),
        ratio=theirs / ours if len(counted) >= FEW else 1.0,
        repaired=(len(past) - first) / first if enough and first else REPAIRED,
        seconds=statistics.median(waited) / 1e3 if len(waited) >= FEW else None,
        habits=_habits(past),
    )


def _habits(past: Sequence[Past]) -> dict[str, Habit]:
    by_prompt: dict[str, list[Past]] = {}
    for one in past:
        if one.output_tokens:
            by_prompt.setdefault(one.prompt.partition("@")[0], []).append(one)
    return {name: _habit(some) for name, some in by_prompt.items() if len(some) >= FEW}


def _habit(past: Sequence[Past]) -> Habit:
    output = sorted(p.output_tokens or 0 for p in past)
    low, high = output[len(output) // 10], output[-1 - len(output) // 10]
    kept = [len(_first_text(p.reply).split()) for p in past if p.status == "accepted"]
    return Habit(
        (low, statistics.fmean(output), high), round(statistics.fmean(kept)) if kept else 0
    )


def _first_text(reply: str) -> str:
    """What is kept of an accepted reply: the first value of its object."""
    try:
        return str(next(iter(json.loads(reply).values()), ""))
    except (ValueError, AttributeError):
        return ""
