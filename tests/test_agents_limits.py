"""Slots, money and the gate: what waits, for how long, and what stops a run."""

import asyncio
import time

import pytest

from agents.limits import Gate
from agents.pace import Pace
from agents.purse import Purse
from agents.slots import Slots
from errors import Interrupted, RunStopped


async def settled() -> None:
    """Let everything that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


# Slots


async def test_no_more_than_the_limit_are_in_flight_and_the_first_comes_first():
    slots, order = Slots(2), []

    async def call(name: int) -> None:
        await slots.acquire()
        order.append(name)

    calls = [asyncio.create_task(call(n)) for n in range(5)]
    await settled()
    assert order == [0, 1]
    slots.release()
    await settled()
    assert order == [0, 1, 2]
    for one in calls:
        one.cancel()


async def test_an_overloaded_server_gets_less_once_a_burst_and_more_again_with_good_answers():
    slots = Slots(16)
    sent = time.monotonic()
    for _ in range(10):
        slots.overloaded(sent)
    assert slots.limit == 12
    for _ in range(200):
        slots.answered()
    assert slots.limit == 16


async def test_at_least_one_call_may_always_be_made():
    slots = Slots(2)
    for _ in range(20):
        slots.overloaded(time.monotonic())
    assert slots.limit == 1


async def test_a_cancelled_wait_takes_no_slot():
    slots = Slots(1)
    await slots.acquire()
    waiting = asyncio.create_task(slots.acquire())
    await settled()
    waiting.cancel()
    await settled()
    slots.release()
    await asyncio.wait_for(slots.acquire(), 1)


# Money


async def test_without_a_cap_nothing_is_refused_and_everything_is_counted():
    purse = Purse()
    await purse.reserve(10**12)
    await purse.settle(10**12, 7)
    assert purse.spent == 7


async def test_a_call_that_may_not_fit_waits_for_calls_in_flight():
    purse = Purse(100)
    await purse.reserve(80)
    second = asyncio.create_task(purse.reserve(80))
    await settled()
    assert not second.done()
    await purse.settle(80, 20)
    await asyncio.wait_for(second, 1)


async def test_what_does_not_fit_with_nothing_in_flight_stops_the_run():
    purse = Purse(100)
    await purse.reserve(80)
    await purse.settle(80, 60)
    with pytest.raises(RunStopped, match="--max-cost"):
        await purse.reserve(41)


# The gate


async def test_waiting_for_a_turn_is_not_in_the_latency():
    gate = Gate(1)

    async def call():
        turn = gate.turn()
        async with turn:
            await asyncio.sleep(0.05)
        return turn.latency_ms

    latencies = await asyncio.gather(*(call() for _ in range(4)))
    assert max(latencies) < 90


async def test_a_stop_wakes_who_waits_in_line_and_lets_nobody_begin():
    gate = Gate(4, pace=Pace(1))
    async with gate.turn():
        pass
    waiting = asyncio.create_task(gate.turn().__aenter__())
    await asyncio.sleep(0.02)
    gate.stop(Interrupted("Enough."))
    with pytest.raises(Interrupted):
        await asyncio.wait_for(waiting, 1)
    with pytest.raises(Interrupted):
        await gate.turn().__aenter__()


async def test_a_turn_that_could_not_begin_gives_its_slot_back():
    gate = Gate(1, purse=Purse(0))
    for _ in range(3):
        with pytest.raises(RunStopped):
            await asyncio.wait_for(gate.turn(most=5).__aenter__(), 1)


async def test_money_is_reserved_once_for_a_call_that_is_sent_in_two_forms():
    gate = Gate(1, purse=Purse(10))
    turn = gate.turn(most=10)
    async with turn:
        pass
    async with turn:
        pass
    await turn.settle(None, 3)
    assert gate.purse.spent == 3
    await asyncio.wait_for(gate.purse.reserve(7), 1)


async def test_a_call_of_which_nobody_knows_what_it_cost_counts_in_full():
    gate = Gate(1, purse=Purse(10))
    turn = gate.turn(most=6)
    async with turn:
        pass
    await turn.settle(None, None)
    assert gate.purse.spent == 6
