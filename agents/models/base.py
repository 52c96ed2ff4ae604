"""The border to every model: one question in, one answer out, no retry and no state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from errors import HopscribeError
from graph_ops.evidence import ItemEvidence, RefineEvidence, UserEvidence
from prompts.library import Message

if TYPE_CHECKING:
    from agents.models.batches import BatchServer

Evidence = ItemEvidence | UserEvidence | RefineEvidence


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `evidence` is what the messages were rendered from: `offline` reads it."""

    messages: tuple[Message, ...]
    schema: Mapping[str, Any]
    max_tokens: int
    max_words: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `finish` is `stop`, `length`, `refusal` or the server's other word."""

    text: str
    finish: str = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None


class Busy(HopscribeError):
    """Try again later. `wait` is what the server asked for, in seconds.

    `limited` is a refusal because of a rate, `overloaded` of a server with too much to do; of a
    `lost` call nobody knows whether it was billed; a `fault` is any other failure on the way.
    """

    def __init__(
        self,
        message: str,
        wait: float | None = None,
        kind: Literal["limited", "overloaded", "lost", "fault"] = "fault",
    ) -> None:
        super().__init__(message)
        self.wait, self.kind = wait, kind


class Declined(HopscribeError):
    """This one question will never be answered: content filter, context too long."""


class NotThere(HopscribeError):
    """The server knows no batch or file of this name."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A batch as the server tells it. `output` and `errors` are files, `complaint` its words."""

    id: str
    status: str
    total: int = 0
    completed: int = 0
    failed: int = 0
    output: str | None = None
    errors: str | None = None
    complaint: str = ""
    mark: str = ""
    created: float = 0.0


class Held(Protocol):
    """A call's turn as a model sees it: `async with` it while the far side is busy with it."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...

    def heard(self, headers: Mapping[str, str]) -> None:
        """What the server said of its limits."""
        ...


class Model(Protocol):
    """A model. `name`, `endpoint` and `parameters` are part of every cache key.

    `learnt` is what it found out about its far side. Given back to it another day, it need not find
    it out again.
    """

    name: str
    endpoint: str
    parameters: Mapping[str, Any]
    writes_any_language: bool
    learnt: str

    async def complete(self, request: Request, turn: Held) -> Answer:
        """Answer one question, holding `turn` for as long as the far side works on it.

        Raises Busy, Declined, or ModelError when no question will ever be answered.
        """
        ...

    def price(self, input_tokens: int | None, output_tokens: int | None) -> int | None:
        """The cost of a call in nano-dollars, or None where no price is known."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class BatchModel(Model, Protocol):
    """A model whose server also answers whole files of questions, at half the price."""

    def render(self, request: Request) -> dict[str, Any]:
        """The body of the HTTP request that `complete` would send."""
        ...

    def read(self, body: Mapping[str, Any]) -> Answer:
        """The answer in the body of an HTTP response. Raises Busy where there is none."""
        ...

    def batches(self) -> "BatchServer":
        """Where files of questions are handed in. Close it."""
        ...
