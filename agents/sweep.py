"""A sweep: one stage over many nodes, as waves through the state machine, several at a time."""

import asyncio
import gc
from collections.abc import Iterable, Iterator

from agents.wave import Context, Wave, build


async def sweep(nodes: Iterable[str], context: Context, wave_size: int = 32) -> None:
    """Carry all nodes through the stage. Raises the first error after what is under way ended.

    Enough waves are open that no slot waits for the last reply of one; nodes are sorted, so the
    same nodes make the same waves whatever their order. Where questions go out in batches, all
    nodes are one wave.
    """
    # A full collection walks through the graph and every imported module, and holds up the event
    # loop for a sixth of a second each time. What is here now stays until the run ends.
    gc.freeze()
    gate = context.desk.gate
    ordered = sorted(nodes)
    size, filling = max(1, min(wave_size, 2 * gate.concurrency)), gate.concurrency
    if context.desk.whole_stages:
        size, filling = max(1, len(ordered)), 0
    room = asyncio.Semaphore(2 * size + 2 * gate.concurrency)
    machine = build()

    async def carry(wave: tuple[str, ...]) -> None:
        try:
            gate.check()
            state: Wave = {"nodes": wave}
            await machine.ainvoke(state, context=context)
        finally:
            for _ in wave:
                room.release()

    opened: list[asyncio.Task[None]] = []
    try:
        for wave in _cut(ordered, size, filling):
            for _ in wave:
                await room.acquire()
            if gate.stopped:
                break
            opened.append(asyncio.create_task(carry(wave)))
    except asyncio.CancelledError:
        for task in opened:
            task.cancel()
        raise
    finally:
        results = await asyncio.gather(*opened, return_exceptions=True)
    gate.check()
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _cut(nodes: list[str], size: int, slots: int) -> Iterator[tuple[str, ...]]:
    """Waves of `size` nodes. Those that fill the slots are smaller: their calls leave sooner."""
    start = 0
    while start < len(nodes):
        length = size if start >= slots else -(-size // 4)
        yield tuple(nodes[start : start + length])
        start += length
