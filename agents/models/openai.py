"""OpenAI and every server that speaks its protocol, through langchain-openai's ChatOpenAI.

Retries are not made here (`max_retries=0`): `agents.ask` sees each failed call and writes it down.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx2
import openai
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from agents.models.base import Answer, Busy, Declined, Held, Request
from agents.models.given import Given, hang_up, note_lines, watched
from errors import HopscribeError, ModelError
from stores.connection import Connection, hide, without
from stores.prices import cost

if TYPE_CHECKING:
    from agents.models.batches import BatchServer

OFFICIAL = "https://api.openai.com/v1"
# What a server may not know, best first: a schema, llama.cpp's older way to give one, any JSON,
# plain text. The prompt says the form too, and the check on our side is the judge.
FORMATS = ("json_schema", "json_object with schema", "json_object", "text")
# Client errors that mean "not now".
AGAIN = (408, 409, 425)
# Requests in the making: enough to keep every slot busy, few enough for the event loop to breathe.
PREPARING = 4


class _LeanChat(ChatOpenAI):
    """ChatOpenAI that sends its payload as it is and reads the reply as plain JSON.

    The openai client would walk through every message to look for keys to rename, and build an
    object for every value of the reply: together a seventh of a call's CPU, for nothing.
    """

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        body: Mapping[str, Any] = MappingProxyType({}),
        **options: Any,
    ) -> ChatResult:
        payload = self.payload(messages, body, stop=stop, **options)
        response = await self.root_async_client.post(
            "/chat/completions", cast_to=httpx2.Response, body=payload
        )
        return self.result(response.json)

    def payload(
        self, messages: Sequence[Any], body: Mapping[str, Any], **options: Any
    ) -> dict[str, Any]:
        return {**self._get_request_payload(list(messages), **options), **body}

    def result(self, body: Callable[[], Any]) -> ChatResult:
        try:
            result = self._create_chat_result(body())
            result.generations[0]  # one that has none is none
            return result
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Busy(
                f"{self.openai_api_base} answered with something that is not a chat completion."
            ) from error


class _Departure:
    """A call on its way out: it makes room for the next one to prepare when it leaves.

    `first` is the question (its hash) that its response was the response to, before this one.
    """

    def __init__(self, preparing: asyncio.Semaphore, turn: Held, given: Given, asked: int) -> None:
        self._preparing, self.turn, self._left = preparing, turn, False
        self._given, self.asked, self.first = given, asked, asked
        self.lines = note_lines()

    def arrived(self, response: bytes) -> None:
        self.first = self._given.first(response, self.asked)
        if self.first != self.asked:
            hang_up(self.lines)

    def leave(self) -> None:
        if not self._left:
            self._left = True
            self._preparing.release()


_DEPARTURE: ContextVar[_Departure] = ContextVar("departure")


class _GatedClient(openai.DefaultAioHttpClient):
    """The HTTP client that holds a call's turn while the request is out, and only then.

    A millisecond of a call's CPU goes by before its request leaves. Spent inside the turn, it would
    leave the far side idle for as long.
    """

    def _init_transport(self, *how: Any, **more: Any) -> Any:
        return watched(super()._init_transport(*how, **more))

    def _init_proxy_transport(self, *how: Any, **more: Any) -> Any:
        return watched(super()._init_proxy_transport(*how, **more))

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        departure = _DEPARTURE.get()
        departure.leave()
        async with departure.turn:
            try:
                # The client's own time-out is for each piece of an answer: a server that sends one
                # now and then would hold the call for ever.
                async with asyncio.timeout(self.timeout.read):
                    response = await super().send(request, **options)
                    departure.arrived(await response.aread())
            except TimeoutError as error:
                raise httpx2.ReadTimeout("too slow", request=request) from error
        departure.turn.heard(response.headers)
        return response


class OpenAIModel:
    """One model at one address."""

    writes_any_language = True

    def __init__(self, connection: Connection) -> None:
        self.name = f"openai:{connection.model}"
        self.endpoint = connection.url
        self.parameters: Mapping[str, Any] = {"temperature": connection.temperature}
        self._connection = connection
        hide(connection.key)
        self.learnt = FORMATS[0]
        self._given = Given()
        # The openai client's aiohttp transport costs half the CPU of its default one; a client of
        # our own also keeps one event loop's connections from being reused in another.
        self._http = _GatedClient(timeout=connection.timeout)
        self._preparing = asyncio.Semaphore(PREPARING)
        self._chat = _LeanChat(
            model=connection.model,
            base_url=connection.url,
            api_key=SecretStr(connection.key),
            temperature=connection.temperature,
            max_retries=0,
            timeout=connection.timeout,
            http_async_client=self._http,
        )

    async def complete(self, request: Request, turn: Held) -> Answer:
        form = self.learnt
        departure = _Departure(self._preparing, turn, self._given, hash(request.messages))
        _DEPARTURE.set(departure)
        await self._preparing.acquire()
        try:
            message = await self._chat.ainvoke(
                list(request.messages), body=self._body(request, form)
            )
        except openai.OpenAIError as error:
            for cause in _causes(error):
                if isinstance(cause, HopscribeError):
                    raise cause from None
            if _dislikes_format(error) and form != FORMATS[-1]:
                if self.learnt == form:
                    self.learnt = FORMATS[FORMATS.index(form) + 1]
                return await self.complete(request, turn)
            raise translated(error, self.name, self.endpoint, self._connection.key) from error
        finally:
            departure.leave()
        answer = _answer(message, self._connection.key)
        asked, first = departure.asked, departure.first
        repeated = self._given.elsewhere(_id(message), answer, asked, first)
        if repeated or any(line.doubted for line in departure.lines):
            hang_up(departure.lines)
            raise Busy(f"{self.endpoint} sent what may be the answer to another question.")
        return answer

    def render(self, request: Request) -> dict[str, Any]:
        return self._chat.payload(request.messages, self._body(request, self.learnt))

    def read(self, body: Mapping[str, Any]) -> Answer:
        result = self._chat.result(lambda: dict(body))
        message, facts = result.generations[0].message, result.generations[0].generation_info
        assert isinstance(message, AIMessage)
        # LangChain moves these over when it makes the call itself.
        message.response_metadata = {**(result.llm_output or {}), **(facts or {})}
        return _answer(message, self._connection.key)

    def batches(self) -> "BatchServer":
        from agents.models.batches import BatchServer

        return BatchServer(self._connection)

    def price(self, input_tokens: int | None, output_tokens: int | None) -> int | None:
        if input_tokens is None or output_tokens is None:
            return None
        return cost(self._connection, input_tokens, output_tokens)

    async def close(self) -> None:
        await self._http.aclose()

    def _body(self, request: Request, form: str) -> dict[str, Any]:
        """What this question adds to the payload: its limit and the form of its reply."""
        # Compatible servers know the old name of the limit, which OpenAI's newer models refuse.
        limit = "max_completion_tokens" if self.endpoint == OFFICIAL else "max_tokens"
        body: dict[str, Any] = {limit: request.max_tokens}
        if form == "json_schema":
            schema = {"name": "reply", "strict": True, "schema": dict(request.schema)}
            body["response_format"] = {"type": form, "json_schema": schema}
        elif form != "text":
            body["response_format"] = {"type": "json_object"}
            if form == "json_object with schema":
                body["response_format"]["schema"] = dict(request.schema)
        return body


def _answer(message: AIMessage, key: str) -> Answer:
    usage: Mapping[str, Any] = message.usage_metadata or {}
    refusal = message.additional_kwargs.get("refusal")
    text = message.content if isinstance(message.content, str) else message.text
    finish = str(message.response_metadata.get("finish_reason") or "stop")
    return Answer(
        # A model may stop in the middle of an emoji; what is used must be what is written down.
        text=without(key, str(refusal or text).encode("utf-8", "replace").decode()),
        finish="refusal" if refusal else finish,
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
    )


def _dislikes_format(error: openai.OpenAIError) -> bool:
    """Whether a server refused the reply format rather than the question."""
    if not isinstance(error, openai.APIStatusError) or error.status_code not in {
        400,
        422,
        500,
        501,
    }:
        return False
    said = str(error.body or error.message).casefold()
    return any(word in said for word in ("response_format", "json_object", "schema", "grammar"))


def _id(message: AIMessage) -> str:
    """The server's name for this completion, where it gave one."""
    return str(message.response_metadata.get("id") or "")


def translated(error: openai.OpenAIError, name: str, endpoint: str, key: str) -> Exception:
    """Our word for the client's error. Messages never repeat headers or keys."""
    match error:
        case openai.APIConnectionError() if _never_sent(error):
            return Busy(f"{name}: no connection to {endpoint}.")
        case openai.APITimeoutError():
            return Busy(f"{name} did not answer in time.", kind="lost")
        case openai.APIConnectionError():
            return Busy(f"{name}: the connection to {endpoint} was cut.", kind="lost")
        case openai.APIStatusError(status_code=401 | 403):
            return ModelError(
                f"{endpoint} refuses the key (HTTP {error.status_code}).",
                hint="Set OPENAI_API_KEY, or HOPSCRIBE_API_KEY for a server named with @URL, in "
                "the environment or in .env.",
            )
        case openai.APIStatusError(status_code=404):
            return ModelError(
                f"{endpoint} does not know {name} (HTTP 404).",
                hint="Check the model's name, and that the address ends in /v1 where it should.",
            )
        case openai.APIStatusError(status_code=429) if "insufficient_quota" in str(error.body):
            return ModelError(f"{endpoint}: the account has no credit left.")
        case openai.APIStatusError(status_code=429):
            return Busy(f"HTTP 429 from {endpoint}.", _retry_after(error), "limited")
        case openai.APIStatusError(status_code=503 | 529):
            return Busy(
                f"HTTP {error.status_code} from {endpoint}.", _retry_after(error), "overloaded"
            )
        case openai.APIStatusError(status_code=status) if status >= 500 or status in AGAIN:
            return Busy(f"HTTP {status} from {endpoint}.", _retry_after(error))
        case openai.APIStatusError():
            return Declined(f"HTTP {error.status_code} from {endpoint}: {_said(error, key)}")
        case _:
            return Declined(f"{name}: {type(error).__name__}.")


def _never_sent(error: BaseException) -> bool:
    """Whether there was no connection at all: the aiohttp transport calls a refused one a time-out.

    What was never sent was never billed.
    """
    return any(isinstance(e, ConnectionRefusedError | socket.gaierror) for e in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds, from `retry-after-ms` or from `retry-after`, which may be a date."""
    headers = error.response.headers
    asked = headers.get("retry-after", "")
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        if asked.endswith("GMT"):
            return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
        return max(0.0, float(asked))
    except ValueError:
        return None


def _said(error: openai.APIStatusError, key: str) -> str:
    body = error.body
    text = body.get("message", "") if isinstance(body, dict) else ""
    return without(key, str(text))[:300]
