"""The Files and Batches endpoints of a server that speaks OpenAI's protocol. No retry, no state.

Each method raises Busy for what may work later, Declined for what will not, ModelError where the
server cannot be used like this at all.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import openai

from agents.models.base import Busy, NotThere, Remote
from agents.models.openai import translated
from errors import HopscribeError, ModelError
from stores.connection import Connection

MARK = "hopscribe"  # the metadata that says which of our batches one is
# Clocks differ; a batch that began so much before we intended it is not ours.
CLOCKS_S = 86_400
_UPLOAD_S = 900.0
_PAGE = 100


class BatchServer:
    """One address, with the key that belongs to it. `url` is where each request of a file goes."""

    url = "/v1/chat/completions"

    def __init__(self, connection: Connection) -> None:
        self._name, self._endpoint = f"openai:{connection.model}", connection.url
        self._key = connection.key
        self._client = openai.AsyncOpenAI(
            base_url=connection.url,
            api_key=connection.key,
            max_retries=0,
            timeout=connection.timeout,
        )

    async def upload(self, name: str, lines: bytes) -> str:
        """Hand over a file of requests; the server's name for it."""
        with self._errors():
            answer = await self._client.files.with_raw_response.create(
                file=(name, lines, "application/jsonl"), purpose="batch", timeout=_UPLOAD_S
            )
            return _text(self._json(answer.http_response), "id")

    async def create(self, file: str, mark: str) -> Remote:
        """Let a batch begin."""
        body = {
            "input_file_id": file,
            "endpoint": self.url,
            "completion_window": "24h",
            "metadata": {MARK: mark},
        }
        with self._errors():
            answer = await self._client.post("/batches", cast_to=httpx2.Response, body=body)
            return _remote(self._json(answer))

    async def retrieve(self, batch: str) -> Remote:
        """How a batch is doing. Raises NotThere."""
        with self._errors(NotThere(f"{self._endpoint} knows no batch {batch}.")):
            answer = await self._client.get(f"/batches/{batch}", cast_to=httpx2.Response)
            return _remote(self._json(answer))

    async def cancel(self, batch: str) -> Remote:
        """Ask for a batch to be stopped; that takes a while. Raises NotThere."""
        with self._errors(NotThere(f"{self._endpoint} knows no batch {batch}.")):
            answer = await self._client.post(f"/batches/{batch}/cancel", cast_to=httpx2.Response)
            return _remote(self._json(answer))

    async def find(self, mark: str, since: float) -> Remote | None:
        """The batch with this mark, if there is one that was made after `since`."""
        after: dict[str, str] = {}
        while True:
            with self._errors():
                answer = await self._client.get(
                    "/batches",
                    cast_to=httpx2.Response,
                    options={"params": {"limit": _PAGE, **after}},
                )
                told = self._json(answer)
                page = [_remote(one) for one in _list(told, "data")]
            for remote in page:
                if remote.mark == mark:
                    return remote
            # The newest come first.
            if not page or not told.get("has_more") or page[-1].created < since - CLOCKS_S:
                return None
            after = {"after": page[-1].id}

    async def lines(self, file: str) -> AsyncIterator[bytes]:
        """The lines of a file, as they come in. Raises NotThere."""
        # Not the client's own lines: it would also cut at characters that are part of a text.
        rest = b""
        with self._errors(NotThere(f"{self._endpoint} knows no file {file}.")):
            async with self._client.files.with_streaming_response.content(file) as answer:
                async for piece in answer.iter_bytes():
                    *whole, rest = (rest + piece).split(b"\n")
                    for line in whole:
                        yield line
        if rest:
            yield rest

    async def close(self) -> None:
        await self._client.close()

    @contextmanager
    def _errors(self, missing: HopscribeError | None = None) -> Iterator[None]:
        try:
            yield
        except openai.APIStatusError as error:
            if error.status_code in (404, 405):
                raise missing or ModelError(
                    f"{self._endpoint} has no Batch API (HTTP {error.status_code}).",
                    hint="Leave --batch out for this server.",
                ) from error
            raise _plain(translated(error, self._name, self._endpoint, self._key)) from error
        except openai.OpenAIError as error:
            raise _plain(translated(error, self._name, self._endpoint, self._key)) from error
        except httpx2.HTTPError as error:
            raise Busy(f"The connection to {self._endpoint} was cut.") from error
        except (LookupError, TypeError, ValueError) as error:
            raise Busy(f"{self._endpoint} answered with something unreadable.") from error

    def _json(self, response: httpx2.Response) -> Mapping[str, Any]:
        told = response.json()
        if not isinstance(told, dict):
            raise TypeError("not an object")
        return told


def _plain(error: Exception) -> Exception:
    """A refusal because of a rate has no line at the gate to wait in here: it waits like others."""
    if isinstance(error, Busy) and error.kind == "limited":
        return Busy(error.message, error.wait or 5.0)
    return error


def _remote(told: Mapping[str, Any]) -> Remote:
    counts = told.get("request_counts") or {}
    errors = (told.get("errors") or {}).get("data") or []
    metadata = told.get("metadata") or {}
    return Remote(
        id=_text(told, "id"),
        status=_text(told, "status"),
        total=int(counts.get("total") or 0),
        completed=int(counts.get("completed") or 0),
        failed=int(counts.get("failed") or 0),
        output=told.get("output_file_id"),
        errors=told.get("error_file_id"),
        complaint="; ".join(str(e.get("message") or e.get("code")) for e in errors[:3])[:500],
        mark=str(metadata.get(MARK) or ""),
        created=float(told.get("created_at") or 0),
    )


def _text(told: Mapping[str, Any], key: str) -> str:
    value = told[key]
    if not isinstance(value, str) or not value:
        raise TypeError(key)
    return value


def _list(told: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = told[key]
    if not isinstance(value, list):
        raise TypeError(key)
    return value
