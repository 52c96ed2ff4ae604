"""The border between a run and who does its work.

What costs CPU is behind it: putting topics into words, talking to the model, judging replies, and
the extractive writer. What decides anything stays with the run: ledger, limits, money, retries,
repairs, outcomes. So a run comes out the same whoever does the work.
"""

from collections.abc import Iterable
from typing import Protocol

from agents.checks import Verdict
from agents.limits import Turn
from agents.manner import Topic
from agents.models.base import Answer, Model, Request
from agents.replies import Profile, Refinement
from prompts.library import Message

Form = type[Profile] | type[Refinement]
Worded = list[tuple[Topic, tuple[Message, ...]]]


class Engine(Protocol):
    """Who works. `renderers` is how many waves it can put into words at a time."""

    @property
    def renderers(self) -> int: ...

    async def render(self, topics: Iterable[Topic]) -> Worded:
        """Put topics into words, in their order. Raises PromptError."""
        ...

    async def answer(
        self, model: Model, request: Request, form: Form, language: str | None, turn: Turn
    ) -> tuple[Answer, Verdict]:
        """One answer, and what it is worth. Raises what `model.complete` raises."""
        ...

    async def extract(self, request: Request) -> str:
        """What the extractive writer makes of a question's evidence."""
        ...
