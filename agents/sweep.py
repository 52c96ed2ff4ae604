"""A sweep: one stage over many nodes, as waves through the state machine, several at a time."""

import asyncio
import gc
from collections.abc import Iterable

from agents.wave import Context, Wave, build


async def sweep(nodes: Iterable[str], context: Context, wave_size: int = 32) -> None:
    """Carry all nodes through the stage. Raises the first error after what is under way ended.

    Enough waves are open that no slot waits for the last reply of one; nodes are sorted, so the
    same nodes make the same waves whatever their order.
    """
    # A full collection walks through the graph and every imported module, and holds up the event
    # loop for a sixth of a second each time. What is here now stays until the run ends.
    gc.freeze()
    ordered = sorted(nodes)
    gate = context.desk.gate
    size = max(1, min(wave_size, 2 * gate.concurrency))
    waves = [tuple(ordered[start : start + size]) for start in range(0, len(ordered), size)]
    open_at_once = asyncio.Semaphore(2 + 2 * gate.concurrency // size)
    machine = build()

    async def carry(nodes: tuple[str, ...]) -> None:
        async with open_at_once:
            gate.check()
            state: Wave = {"nodes": nodes}
            await machine.ainvoke(state, context=context)

    results = await asyncio.gather(*map(carry, waves), return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        gate.check()
        raise errors[0]
