"""Files of questions: the same body as a single call's, and cut where the server's limits are."""

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from agents import batch
from agents.harvest import _parsed
from agents.limits import Gate
from agents.models.base import Busy
from tests.far_side.picky import picky
from tests.test_agents_models import REQUEST, far


def test_a_line_of_a_batch_is_what_a_single_call_sends():
    with picky(["json_schema"]) as (url, asked):

        async def both():
            model = far(url, "m", temperature=0.5)
            answer = await model.complete(REQUEST, Gate(4).turn())
            rendered = model.render(REQUEST)
            await model.close()
            return answer, rendered

        _, rendered = asyncio.run(both())
    assert asked == [rendered]


def test_an_answer_reads_the_same_from_a_batch_and_from_a_call(far_side):
    server = far_side()
    model = far(server.url)

    async def both():
        import httpx2

        answer = await model.complete(REQUEST, Gate(4).turn())
        async with httpx2.AsyncClient() as client:
            body = model.render(REQUEST)
            told = (await client.post(f"{server.url}/chat/completions", json=body)).json()
        await model.close()
        return answer, model.read(told)

    online, batched = asyncio.run(both())
    assert online == batched
    for none in ({}, {"choices": []}, {"choices": None}):
        with pytest.raises(Busy):
            model.read(none)


def parts(count, size=100):
    """The sizes of the files that `count` questions make."""
    model = SimpleNamespace(render=lambda request: {"text": "x" * size})
    asked = [SimpleNamespace(key=f"{n:064}", request=replace(REQUEST)) for n in range(count)]

    async def collect():
        return [one async for one in batch._files(model, "/v1/x", asked)]

    found = asyncio.run(collect())
    lines = [json.loads(line) for _, data in found for line in data.splitlines()]
    assert [line["custom_id"] for line in lines] == [one.key for one in asked]
    assert all(len(data) <= batch.MOST_BYTES for _, data in found)
    return [len(part) for part, _ in found]


def test_a_file_holds_no_more_requests_than_the_server_takes(monkeypatch):
    monkeypatch.setattr(batch, "MOST_REQUESTS", 10)
    assert parts(25) == [10, 10, 5]
    assert parts(20) == [10, 10]


def test_a_file_is_no_larger_than_the_server_takes(monkeypatch):
    monkeypatch.setattr(batch, "MOST_BYTES", 1000)
    sizes = parts(11, size=100)
    assert sum(sizes) == 11 and max(sizes) == 4


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b'{"response": {}}', b'{"custom_id": "k", "response": 3}']
)
def test_a_line_that_is_none_is_passed_over(raw):
    assert _parsed(raw) is None


def test_a_line_separator_inside_of_a_text_does_not_cut_the_line(far_side):
    from agents.models.batches import BatchServer
    from stores.connection import Connection

    server = far_side("batches")
    text = json.dumps({"custom_id": "k", "text": "one\u2028two\x85three"}, ensure_ascii=False)

    async def there_and_back():
        client = BatchServer(Connection("openai", "m", server.url))
        name = await client.upload("f.jsonl", text.encode() + b"\nlast")
        lines = [line async for line in client.lines(name)]
        await client.close()
        return lines

    assert asyncio.run(there_and_back()) == [text.encode(), b"last"]
