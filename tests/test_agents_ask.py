"""One question: ledger, slot, retry, check, row. The model is a script; everything else is real."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents import retry
from agents.ask import Asked, Desk, Tally, ask, question, repair
from agents.limits import Gate, Turn
from agents.manner import Topic, messages
from agents.models.base import Answer, Busy, Declined, Request
from agents.sweep import sweep
from agents.wave import Context, Stage
from errors import Interrupted, ModelError, RunStopped
from graph_ops.evidence import ItemEvidence
from prompts.library import domain, load
from stores.ledger import Ledger

GOOD = json.dumps({"summarization": "People who cook at home enjoy it.", "reasoning": "So."})
BAD = '{"summarization": '


class Script:
    """A model that says or raises one thing after the other, and remembers what it was asked."""

    name, endpoint, writes_any_language = "script", "here", True
    parameters: Mapping[str, Any] = {"temperature": 0.0}

    def __init__(self, *lines: str | Exception) -> None:
        self.lines, self.asked = list(lines), list[Request]()

    async def complete(self, request: Request, turn: Turn) -> Answer:
        async with turn:
            self.asked.append(request)
            line = self.lines.pop(0)
            if isinstance(line, Exception):
                raise line
        return Answer(line, input_tokens=10, output_tokens=5)

    def price(self, input_tokens: int | None, output_tokens: int | None) -> int | None:
        return 7

    async def close(self) -> None: ...


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_BACKOFF", lambda state: 0.0)


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def desk(model: Script, ledger: Ledger, **changes: Any) -> Desk:
    made = Desk("run", model, ledger, Gate(4), Tally(), "English")
    return replace(made, **changes)


def topic(title: str = "Kettle", node: str = "item:1") -> Topic:
    evidence = ItemEvidence(title, "A kettle for the kitchen.", {}, ())
    inputs = {
        "domain": domain("product"),
        "language": "English",
        "max_words": 200,
        "evidence": evidence,
    }
    return Topic(node, 0, "item profiles", load("item_profile"), inputs)


def about(desk: Desk, title: str = "Kettle", node: str = "item:1"):
    subject = topic(title, node)
    return question(desk, subject, messages(subject.prompt, subject.inputs))


def run(desk: Desk, asked, stored=None) -> Asked:
    return asyncio.run(ask(desk, asked, stored))


def rows(ledger: Ledger, columns: str) -> list[tuple[Any, ...]]:
    return sqlite3.connect(ledger._path).execute(f"SELECT {columns} FROM calls").fetchall()


def test_a_good_answer_is_recorded_as_accepted_with_its_price(ledger):
    d = desk(Script(GOOD), ledger)
    result = run(d, about(d))
    assert result.reply.text == "People who cook at home enjoy it."
    columns = "status, input_tokens, output_tokens, cost_nanousd, node, prompt"
    assert rows(ledger, columns) == [("accepted", 10, 5, 7, "item:1", load("item_profile").ref)]


def test_a_bad_answer_is_recorded_as_rejected_with_the_complaint(ledger):
    d = desk(Script(BAD), ledger)
    result = run(d, about(d))
    assert result.reply is None and "not one JSON object" in result.complaint
    assert rows(ledger, "status, reason") == [("rejected", result.complaint)]


def test_a_stored_answer_is_used_without_asking(ledger):
    d = desk(Script(GOOD), ledger)
    run(d, about(d))
    again = desk(Script(), ledger)
    asked = about(again)
    result = run(again, asked, ledger.find([asked.key])[asked.key])
    assert result.reply is not None
    assert (again.tally.calls, again.tally.cached) == (0, 1)


def test_a_stored_rejection_leads_to_its_repair_without_asking_the_first_question_again(ledger):
    d = desk(Script(BAD), ledger)
    run(d, about(d))
    again = desk(Script(GOOD), ledger)
    asked = about(again)
    rejected = run(again, asked, ledger.find([asked.key])[asked.key])
    assert rejected.reply is None and again.model.asked == []
    run(again, repair(again, rejected))
    assert [m[0] for m in again.model.asked[0].messages] == ["system", "user", "assistant", "user"]


def test_an_accepted_answer_is_found_before_a_later_rejected_one(ledger):
    d = desk(Script(GOOD, BAD), ledger)
    run(d, about(d))
    run(d, about(d))
    key = about(d).key
    assert ledger.find([key])[key].text == GOOD


def test_a_repair_shows_the_last_reply_and_the_complaint_and_nothing_older(ledger):
    d = desk(Script("first", "second"), ledger)
    once = repair(d, run(d, about(d)))
    twice = repair(d, run(d, once))
    said = [text for role, text in twice.request.messages if role == "assistant"]
    assert said == ["second"]
    assert len({about(d).key, once.key, twice.key}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"repeat": 1},
        {"model": type("Other", (Script,), {"name": "other"})()},
        {"model": type("Other", (Script,), {"endpoint": "there"})()},
        {"model": type("Other", (Script,), {"parameters": {"temperature": 1.0}})()},
    ],
)
def test_what_can_change_the_answer_is_in_the_key(ledger, change):
    d = desk(Script(), ledger)
    assert about(d).key != about(replace(d, **change)).key


def test_what_cannot_change_the_answer_is_not_in_the_key(ledger):
    d = desk(Script(), ledger)
    same = replace(d, run="another", gate=Gate(9))
    assert about(d).key == about(same).key == about(d, node="item:2").key
    assert about(d).key != about(d, title="Toaster").key


def test_a_busy_server_is_asked_again_and_each_attempt_has_its_row(ledger):
    d = desk(Script(Busy("HTTP 503"), Busy("HTTP 429", wait=0.0), GOOD), ledger)
    assert run(d, about(d)).reply is not None
    assert rows(ledger, "status, attempt") == [("failed", 1), ("failed", 2), ("accepted", 3)]
    assert d.tally.retried == 2


def test_a_server_that_stays_busy_fails_the_node_after_the_last_attempt(ledger):
    d = desk(Script(*[Busy("gone")] * retry.ATTEMPTS), ledger)
    result = run(d, about(d))
    assert result.end == "failed" and result.reply is None
    assert len(d.model.asked) == retry.ATTEMPTS
    assert ledger.find([result.question.key]) == {}


def test_a_declined_question_is_not_asked_again_before_the_next_run(ledger):
    d = desk(Script(Declined("content filter")), ledger)
    result = run(d, about(d))
    assert (result.end, result.complaint) == ("declined", "content filter")
    assert len(d.model.asked) == 1
    assert ledger.find([result.question.key]) == {}


def test_an_unusable_model_is_everybodys_error(ledger):
    d = desk(Script(ModelError("no such model")), ledger)
    with pytest.raises(ModelError):
        run(d, about(d))


def test_after_a_stop_no_call_begins(ledger):
    d = desk(Script(GOOD), ledger)
    d.gate.stop()
    with pytest.raises(Interrupted):
        run(d, about(d))
    assert d.model.asked == []


def test_a_stop_ends_the_wait_before_the_next_attempt(ledger, monkeypatch):
    monkeypatch.setattr(retry, "_BACKOFF", lambda state: 3600.0)
    d = desk(Script(Busy("gone")), ledger)

    async def stop_soon() -> None:
        task = asyncio.create_task(ask(d, about(d), None))
        while not d.model.asked:
            await asyncio.sleep(0.001)
        d.gate.stop()
        await task

    with pytest.raises(Interrupted):
        asyncio.run(asyncio.wait_for(stop_soon(), 10))


def test_no_more_calls_are_in_flight_than_allowed(ledger):
    class Slow(Script):
        now = most = 0

        async def complete(self, request: Request, turn: Turn) -> Answer:
            async with turn:
                self.now += 1
                self.most = max(self.most, self.now)
                await asyncio.sleep(0.005)
                self.now -= 1
            return Answer(GOOD)

    d = desk(Slow(), ledger)

    async def many() -> None:
        await asyncio.gather(*(ask(d, about(d, title=f"T{n}"), None) for n in range(40)))

    asyncio.run(many())
    assert d.model.most == 4


def test_a_model_that_cannot_do_it_stops_the_run_instead_of_failing_every_node(ledger):
    d = desk(Script(*[Declined("HTTP 400: no such parameter")] * 1000), ledger)
    nodes = [f"item:{number}" for number in range(500)]
    stage = Stage("items", 0, lambda n: topic(n, n), lambda n, said: said or "", lambda o: None)
    with pytest.raises(RunStopped, match=r"50 nodes in a row .* no such parameter"):
        asyncio.run(sweep(nodes, Context(stage, d, asyncio.Semaphore(1))))
    assert len(d.model.asked) < 200
