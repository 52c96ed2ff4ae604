"""Models by name, and ChatOpenAI against a real server: formats, errors, prices, tokens."""

import asyncio
import json
import socket
from typing import Any

import pytest

from agents.limits import Gate
from agents.models import open_model
from agents.models.base import Answer, Busy, Declined, Request
from agents.models.openai import OFFICIAL, OpenAIModel
from agents.replies import Profile
from errors import ModelError, UsageError
from graph_ops.evidence import ItemEvidence
from settings import Settings, connection
from stores.connection import Connection, Price
from tests.far_side.picky import form_of, picky

REQUEST = Request(
    (("system", "You describe."), ("user", "A kettle.")),
    Profile.model_json_schema(),
    100,
    50,
    ItemEvidence("Kettle", "A kettle that whistles when it boils.", {}, ()),
)


def far(url: str, model: str = "m", **changes: Any) -> OpenAIModel:
    return OpenAIModel(Connection("openai", model, url, **{"timeout": 120.0, **changes}))


def unused_address() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}/v1"


def complete(model: Any) -> Answer:
    async def once() -> Answer:
        try:
            return await model.complete(REQUEST, Gate(4).turn())
        finally:
            await model.close()

    return asyncio.run(once())


def test_the_answer_carries_text_finish_and_billed_tokens(far_side):
    answer = complete(far(far_side().url))
    assert Profile.model_validate_json(answer.text).text.startswith("The evidence shows")
    assert (answer.finish, answer.input_tokens) == ("stop", 4)


@pytest.mark.parametrize(
    "tried",
    [
        ("json_schema", "json_object with schema"),
        ("json_schema", "json_object with schema", "json_object"),
        ("json_schema", "json_object with schema", "json_object", None),
    ],
)
def test_a_server_that_refuses_a_form_is_asked_in_a_simpler_one_from_then_on(tried):
    knows = [tried[-1]]
    with picky(knows) as (url, asked):

        async def twice() -> None:
            model = far(url)
            await model.complete(REQUEST, Gate(4).turn())
            await model.complete(REQUEST, Gate(4).turn())
            await model.close()

        asyncio.run(twice())
    assert [form_of(body) for body in asked] == [*tried, tried[-1]]
    assert all(body["max_tokens"] == 100 for body in asked)


@pytest.mark.parametrize(
    ("status", "error"), [(429, Busy), (503, Busy), (400, Declined), (401, ModelError)]
)
def test_a_status_becomes_our_word_for_it(status, error):
    with picky([], status) as (url, asked), pytest.raises(error):
        complete(far(url))
    assert len(asked) == 1, "the client must not retry on its own"


def test_retry_after_is_passed_on():
    with picky([], 429) as (url, _), pytest.raises(Busy) as caught:
        complete(far(url))
    assert caught.value.wait == 7.0


def test_no_server_and_a_slow_server_are_busy(far_side):
    with pytest.raises(Busy, match="no connection"):
        complete(far(unused_address()))
    slow = far_side(latency=5)
    with pytest.raises(Busy, match="in time"):
        complete(far(slow.url, timeout=0.2))


def test_a_key_is_in_no_error_message():
    with picky([], 401) as (url, _), pytest.raises(ModelError) as caught:
        complete(far(url, key="sk-very-secret"))
    assert "sk-very-secret" not in caught.value.message + caught.value.hint


def prices(*models: OpenAIModel) -> list[int | None]:
    async def asked() -> list[int | None]:
        found = [model.price(1_000_000, 0) for model in models]
        for model in models:
            await model.close()
        return found

    return asyncio.run(asked())


def test_known_prices_are_found_by_address_and_no_other_is_guessed():
    assert prices(
        far(OFFICIAL, "gpt-4o-mini"),
        far("https://openrouter.ai/api/v1", "openai/gpt-4o-mini"),
        far("http://127.0.0.1:1/v1", "gpt-4o-mini"),
        far(OFFICIAL, "no-such-model"),
    ) == [150_000_000, 150_000_000, None, None]


def test_a_price_of_ones_own_goes_before_the_table():
    own = Price(input=2.0, output=8.0)
    model = far(OFFICIAL, "gpt-4o-mini", price=own)
    assert prices(model) == [2_000_000_000]
    assert model.price(0, 1) == 8_000


def test_offline_writes_from_the_evidence_for_nothing():
    model = open_model(Connection("offline"))
    text = json.loads(complete(model).text)["summarization"]
    assert "Kettle" in text and "whistles" in text
    assert model.price(None, None) == 0


@pytest.mark.parametrize("spec", ["opena1:x", "openai:@http://127.0.0.1:1/v1", ""])
def test_an_unknown_model_lists_the_known_ones(spec):
    with pytest.raises(UsageError) as caught:
        open_model(connection(Settings().reach(spec)))
    assert "openai:" in caught.value.message + caught.value.hint
