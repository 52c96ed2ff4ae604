"""Engines by name: who does the work of a run. What each must do: `agents.engines.base`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from agents.engines.base import Engine
from agents.models.base import Model
from errors import UsageError, unknown
from stores.connection import Connection


@dataclass(frozen=True)
class Workplace:
    """Where a run's work is done. `address` and `workers` are those of Ray."""

    engine: str = "local"
    address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if self.engine != "ray" and (self.address, self.workers) != (None, None):
            raise UsageError("--ray-address and --ray-workers need --engine ray.")


@dataclass(frozen=True)
class Order:
    """What an engine has to know of a run before it begins."""

    connection: Connection
    model: Model
    language: str
    concurrency: int


def open_engine(place: Workplace, order: Order) -> AbstractAsyncContextManager[Engine]:
    """The engine of a run, for as long as that goes on."""
    return ENGINES[place.engine](place, order)


@asynccontextmanager
async def _local(place: Workplace, order: Order) -> AsyncIterator[Engine]:
    from agents.engines.local import LOCAL

    yield LOCAL


def _ray(place: Workplace, order: Order) -> AbstractAsyncContextManager[Engine]:
    from agents.engines.cluster import on_ray

    return on_ray(place, order)


ENGINES: dict[str, Callable[[Workplace, Order], AbstractAsyncContextManager[Engine]]] = {
    "local": _local,
    "ray": _ray,
}
HERE = Workplace()
