"""What `python cli.py batch status|fetch|cancel` does with the batches of a workspace."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.ask import Desk, Tally
from agents.batch import located
from agents.harvest import ENDED, batch_model, harvest, harvested, patiently
from agents.limits import Gate
from agents.models import open_model
from agents.models.base import Busy, Declined, NotThere, Remote
from agents.models.batches import BatchServer
from agents.run import stop_on_signals
from errors import HopscribeError, UsageError
from settings import Settings, connection
from stores.batches import GONE, Batch, Batches
from stores.connection import Connection
from stores.ledger import Ledger
from stores.workspace import occupied


@dataclass(frozen=True)
class _Reached:
    """The server of a batch, and the desk where its answers are recorded."""

    desk: Desk
    server: BatchServer


async def status(workspace: Path, settings: Settings) -> dict[str, Any]:
    """Every batch of a workspace, with what its server says of it now. Changes nothing."""
    if not (workspace / "ledger.sqlite").is_file():
        return _told(workspace, [])
    # The workspace is not held: a run that waits for its batch may be looked at.
    with Ledger(workspace / "ledger.sqlite") as ledger:
        counts, rows = Batches(ledger).counts(), []
        for batch in Batches(ledger).all():
            remote, problem = None, ""
            if batch.harvested is None:
                remote, problem = await _now(ledger, settings, batch)
            rows.append(_row(batch, counts[batch.name], remote, problem))
    return _told(workspace, rows)


async def fetch(workspace: Path, settings: Settings) -> dict[str, Any]:
    """Record what ended batches brought. Asks nothing and waits for nothing."""
    rows: list[tuple[str, Remote | None, str]] = []
    tally = Tally()
    _must_exist(workspace)
    with occupied(workspace), Ledger(workspace / "ledger.sqlite") as ledger:
        for row in Batches(ledger).open():
            try:
                async with _reached(ledger, settings, row, tally) as at:
                    rows.append((row.name, *await _fetch(at, row)))
            except HopscribeError as error:
                # One server that is gone does not keep the others' answers from being fetched.
                rows.append((row.name, None, error.message))
        told = _after(ledger, rows)
    return {**_told(workspace, told), **_figures(tally)}


async def cancel(workspace: Path, settings: Settings, wanted: str | None) -> dict[str, Any]:
    """Cancel a batch, or with None every open one, and record what was finished until then."""
    rows: list[tuple[str, Remote | None, str]] = []
    tally = Tally()
    _must_exist(workspace)
    with occupied(workspace), Ledger(workspace / "ledger.sqlite") as ledger:
        for row in _chosen(Batches(ledger).open(), wanted):
            async with _reached(ledger, settings, row, tally) as at:
                with stop_on_signals(at.desk.gate):
                    batch = await located(at.desk, at.server, row)
                    if batch is not None:
                        await _cancel(at, batch)
                rows.append((row.name, None, ""))
        told = _after(ledger, rows)
    return {**_told(workspace, told), **_figures(tally)}


def _must_exist(workspace: Path) -> None:
    if not (workspace / "ledger.sqlite").is_file():
        raise UsageError(f"--workspace: {workspace} holds no ledger.")


async def _fetch(at: _Reached, row: Batch) -> tuple[Remote | None, str]:
    batch = await located(at.desk, at.server, row)
    if batch is None:
        return None, ""
    try:
        remote = await _retrieved(at, batch)
    except NotThere as error:
        return None, error.message
    if remote.status in ENDED:
        await harvest(at.desk, at.server, batch, remote)
    return remote, ""


async def _cancel(at: _Reached, batch: Batch) -> None:
    try:
        remote = await _retrieved(at, batch)
    except NotThere:
        await Batches(at.desk.ledger).close(batch.name, GONE)
        return
    if remote.status not in ENDED:
        try:
            await at.server.cancel(remote.id)
        except (Busy, Declined):
            # It may have ended meanwhile; what it has become is seen below.
            if (await _retrieved(at, batch)).status not in (*ENDED, "cancelling"):
                raise
    await harvested(at.desk, at.server, [batch])


async def _retrieved(at: _Reached, batch: Batch) -> Remote:
    return await patiently(at.desk.gate, lambda: at.server.retrieve(str(batch.batch)))


async def _now(ledger: Ledger, settings: Settings, batch: Batch) -> tuple[Remote | None, str]:
    """A batch as its server tells it, or why it does not."""
    try:
        async with _reached(ledger, settings, batch, Tally()) as at:
            if batch.batch is None:
                return await at.server.find(batch.name, batch.created), ""
            return await at.server.retrieve(batch.batch), ""
    except HopscribeError as error:
        return None, error.message


@asynccontextmanager
async def _reached(
    ledger: Ledger, settings: Settings, batch: Batch, tally: Tally
) -> AsyncIterator[_Reached]:
    model = batch_model(open_model(_connection(settings, batch)))
    server = model.batches()
    try:
        yield _Reached(Desk(batch.run, model, ledger, Gate(1), tally, batch.language), server)
    finally:
        await server.close()
        await model.close()


def _connection(settings: Settings, batch: Batch) -> Connection:
    """How the batch's server is reached: as the settings say, if they name it."""
    for spec in (settings.model, *settings.models, batch.model):
        reach = settings.reach(spec)
        fits = reach.provider == "openai" and batch.model == f"openai:{reach.model}"
        if fits and connection(reach, must_have_key=False).url == batch.endpoint:
            return connection(reach)
    named = {"model": batch.model.removeprefix("openai:"), "endpoint": batch.endpoint}
    return connection(settings.reach("openai:").model_copy(update=named))


def _chosen(opened: Sequence[Batch], wanted: str | None) -> list[Batch]:
    chosen = [batch for batch in opened if wanted in (None, batch.batch, batch.name)]
    if wanted is not None and not chosen:
        known = ", ".join(batch.batch or batch.name for batch in opened) or "none"
        raise UsageError(
            f"No open batch of this workspace is called {wanted}.", hint=f"Open: {known}."
        )
    return chosen


def _after(ledger: Ledger, rows: Sequence[tuple[str, Remote | None, str]]) -> list[dict[str, Any]]:
    now, counts = {b.name: b for b in Batches(ledger).all()}, Batches(ledger).counts()
    return [_row(now[name], counts[name], remote, why) for name, remote, why in rows]


def _row(
    batch: Batch, counts: tuple[int, int], remote: Remote | None, problem: str
) -> dict[str, Any]:
    requests, recorded = counts
    return {
        "batch": (remote.id if remote else None) or batch.batch,
        "name": batch.name,
        "stage": batch.stage,
        "turn": batch.turn,
        "model": batch.model,
        "endpoint": batch.endpoint,
        "status": remote.status if remote else batch.status,
        "requests": requests,
        "done": remote.completed + remote.failed if remote else recorded,
        "recorded": recorded,
        "harvested": batch.harvested is not None,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(batch.created)),
        "problem": problem or (remote.complaint if remote else ""),
    }


def _told(workspace: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"workspace": str(workspace), "batches": rows}


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        "recorded": tally.calls,
        "input_tokens": tally.input_tokens,
        "output_tokens": tally.output_tokens,
        "cost_usd": None if tally.unpriced else tally.cost_nanousd / 1e9,
    }
