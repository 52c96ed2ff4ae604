"""Models by name, and ChatOpenAI against a real server: formats, errors, prices, tokens."""

import asyncio
import json
import socket
from typing import Any

import pytest

from agents.limits import Gate
from agents.models import Access, open_model
from agents.models.base import Answer, Busy, Declined, Request
from agents.models.openai import OFFICIAL, OpenAIModel
from agents.replies import Profile
from errors import ModelError, UsageError
from graph_ops.evidence import ItemEvidence
from tests.far_side.picky import picky

REQUEST = Request(
    (("system", "You describe."), ("user", "A kettle.")),
    Profile.model_json_schema(),
    100,
    50,
    ItemEvidence("Kettle", "A kettle that whistles when it boils.", {}, ()),
)
ACCESS = Access(lambda url: (url or OFFICIAL, "none"))


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
    answer = complete(open_model(f"openai:far@{far_side().url}", ACCESS))
    assert Profile.model_validate_json(answer.text).text.startswith("The evidence shows")
    assert (answer.finish, answer.input_tokens) == ("stop", 4)


@pytest.mark.parametrize(("knows", "settles_on"), [(["json_object"], "json_object"), ([], None)])
def test_a_server_that_knows_no_schema_is_asked_in_a_simpler_way_from_then_on(knows, settles_on):
    with picky(knows) as (url, asked):

        async def twice() -> None:
            model = OpenAIModel("m", url, "none", 0.0, 10)
            await model.complete(REQUEST, Gate(4).turn())
            await model.complete(REQUEST, Gate(4).turn())
            await model.close()

        asyncio.run(twice())
    forms = [body.get("response_format", {}).get("type") for body in asked]
    assert forms[0] == "json_schema"
    assert forms[-2:] == [settles_on, settles_on] and len(forms) == 4 - len(knows)
    assert all(body["max_tokens"] == 100 for body in asked)


@pytest.mark.parametrize(
    ("status", "error"), [(429, Busy), (503, Busy), (400, Declined), (401, ModelError)]
)
def test_a_status_becomes_our_word_for_it(status, error):
    with picky([], status) as (url, asked), pytest.raises(error):
        complete(OpenAIModel("m", url, "none", 0.0, 10))
    assert len(asked) == 1, "the client must not retry on its own"


def test_retry_after_is_passed_on():
    with picky([], 429) as (url, _), pytest.raises(Busy) as caught:
        complete(OpenAIModel("m", url, "none", 0.0, 10))
    assert caught.value.wait == 7.0


def test_no_server_and_a_slow_server_are_busy(far_side):
    with pytest.raises(Busy, match="no connection"):
        complete(OpenAIModel("m", unused_address(), "none", 0.0, 5))
    slow = far_side(latency=5)
    with pytest.raises(Busy, match="in time"):
        complete(OpenAIModel("m", slow.url, "none", 0.0, 0.2))


def test_a_key_is_in_no_error_message():
    with picky([], 401) as (url, _), pytest.raises(ModelError) as caught:
        complete(OpenAIModel("m", url, "sk-very-secret", 0.0, 10))
    assert "sk-very-secret" not in caught.value.message + caught.value.hint


def test_openais_own_prices_are_known_and_nobody_elses_are_guessed():
    async def prices() -> list[int | None]:
        models = [
            OpenAIModel("gpt-4o-mini", OFFICIAL, "none", 0.0, 5),
            OpenAIModel("gpt-4o-mini", "http://127.0.0.1:1/v1", "none", 0.0, 5),
            OpenAIModel("no-such-model", OFFICIAL, "none", 0.0, 5),
        ]
        found = [model.price(1_000_000, 0) for model in models]
        for model in models:
            await model.close()
        return found

    assert asyncio.run(prices()) == [150_000_000, None, None]


def test_offline_writes_from_the_evidence_for_nothing():
    model = open_model("offline", ACCESS)
    text = json.loads(complete(model).text)["summarization"]
    assert "Kettle" in text and "whistles" in text
    assert model.price(None, None) == 0


@pytest.mark.parametrize("spec", ["opena1:x", "openai:", "openai", ""])
def test_an_unknown_model_lists_the_known_ones(spec):
    with pytest.raises(UsageError) as caught:
        open_model(spec, ACCESS)
    assert "openai:" in caught.value.message + caught.value.hint
