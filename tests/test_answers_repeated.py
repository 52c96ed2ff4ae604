"""Proxies and connections that mix answers up: no text gets to a node it was not asked for."""

import asyncio
import json

import pytest

from agents.limits import Gate
from agents.models.base import Answer, Request
from agents.models.given import MOST, Given
from agents.models.openai import OpenAIModel
from stores.connection import Connection
from tests.far_side import server
from tests.test_refine_end_to_end import assert_every_text_answers_its_own_question, outcomes
from tests.worlds import make

FINE, OTHER = Answer("A kettle.", "stop", 4, 2), Answer("A lamp.", "stop", 4, 2)


KETTLE, LAMP, POT = 1, 2, 3


def test_an_answer_that_went_to_another_question_is_known_again():
    given = Given()
    assert not given.elsewhere("id-1", FINE, KETTLE, first=KETTLE)
    assert not given.elsewhere("id-2", OTHER, LAMP, first=LAMP)
    assert given.elsewhere("id-1", FINE, POT, first=POT)
    assert given.elsewhere("id-1", FINE, POT, first=POT), "and every time it is sent again"


def test_it_belongs_to_the_question_that_it_came_to_first_and_not_to_who_is_faster():
    given = Given()
    assert given.first(b"response", KETTLE) == KETTLE
    assert given.first(b"response", POT) == KETTLE
    assert given.elsewhere("id-1", FINE, POT, first=KETTLE)
    assert not given.elsewhere("id-1", FINE, KETTLE, first=KETTLE)


def test_the_same_question_may_get_the_same_answer_again():
    given = Given()
    assert not given.elsewhere("id-1", FINE, KETTLE, first=KETTLE)
    assert not given.elsewhere("id-1", FINE, KETTLE, first=KETTLE)


def test_two_completions_may_say_the_same():
    given = Given()
    assert not given.elsewhere("id-1", FINE, KETTLE, first=KETTLE)
    assert not given.elsewhere("id-2", FINE, POT, first=POT)


@pytest.mark.parametrize("name", ["", "chatcmpl-0"])
def test_a_server_that_names_nothing_or_all_alike_is_believed(name):
    given = Given()
    for n in range(3):
        assert not given.elsewhere(name, Answer(f"Text {n}"), n, first=n)
    assert not given.elsewhere(name, Answer("None"), 8, first=8)
    assert not given.elsewhere(name, Answer("None"), 9, first=8)


def test_only_the_last_answers_are_remembered():
    given = Given()
    for n in range(MOST + 100):
        given.first(b"%d" % n, n)
        given.elsewhere(f"id-{n}", FINE, n, first=n)
    assert len(given._by_name) == len(given._first) == MOST


@pytest.mark.parametrize("late", ["no", "yes"])
def test_no_node_gets_the_text_of_another_one(cli, far_side, tmp_path, late):
    data, workspace = make(tmp_path / "data"), tmp_path / "ws"
    far = far_side("repeating", share=0.05, late=late)
    done = cli(
        "refine", "--data", data, "--workspace", workspace, "--json", "-j", "8",
        "--model", f"openai:far@{far.url}", "--embedder", f"openai:far@{far.url}",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert [request for request in far.requests() if request["kind"] == "repeated"]
    assert done.summary["failed"] == done.summary["fallback"] == 0
    assert done.summary["retried"] or late == "yes"
    told = outcomes(workspace, done.summary["run"])
    assert_every_text_answers_its_own_question(workspace, told)


class SaysMore(server.Connection):
    """Answers with what it was asked; then, unasked, says it again under another id."""

    def answer(self, path, body):
        wanted = json.loads(body)
        said = server.completion(wanted, wanted["messages"][-1]["content"], "stop")
        self.send(200, {}, said)
        asyncio.get_running_loop().call_later(0.02, self.send, 200, {}, {**said, "id": "more"})


def test_a_response_that_nobody_asked_for_is_not_the_response_to_the_next_request():
    async def answers():
        listening = await asyncio.get_running_loop().create_server(
            lambda: SaysMore(None), "127.0.0.1", 0
        )
        port = listening.sockets[0].getsockname()[1]
        model = OpenAIModel(Connection("openai", "m", f"http://127.0.0.1:{port}/v1", timeout=5))
        said = []
        for question in ("one", "two", "three"):
            request = Request((("user", question),), {}, 10, 10, None)
            said.append((await model.complete(request, Gate(1).turn())).text)
            await asyncio.sleep(0.1)
        await model.close()
        listening.close()
        return said

    assert asyncio.run(answers()) == ["one", "two", "three"]
