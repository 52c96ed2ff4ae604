"""Ray itself: found or missed, started here or joined, and quiet in any case."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agents.engines import Order, Workplace
from agents.engines.base import Engine
from errors import UsageError

ROOT = Path(__file__).parents[2]
# What a worker imports of ours. Sent along, so that no node can have another version of it.
CODE = ("errors.py", "agents", "graph_ops", "prompts", "stores")
OBJECT_STORE = 128 * 2**20  # bytes; only messages pass through it


@asynccontextmanager
async def on_ray(place: Workplace, order: Order) -> AsyncIterator[Engine]:
    """Workers for a run, as many as are told or one a core, on a cluster or on one of our own.

    No more than calls may be in flight: there would be nothing to do for them. Raises UsageError
    where Ray is missing or nothing answers at the address, ModelError where no worker can open the
    model.
    """
    # Ray reports its use to its makers unless this is set before it starts.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--engine ray: Ray is not installed.",
            hint="pip install -c constraints.txt -e '.[ray]'",
        ) from error
    from agents.engines.crew import Crew
    from agents.engines.worker import Worker

    _start(ray, place)
    try:
        cores = int(ray.cluster_resources().get("CPU", 1))
        # A worker that dies is replaced by the crew: one that Ray restarts would have no model.
        actor = ray.remote(Worker).options(num_cpus=1, max_restarts=0, max_concurrency=4)
        language = order.language if order.model.writes_any_language else None

        async def ready(worker: Any) -> None:
            # The key goes to the worker, and not into its description, which Ray keeps.
            try:
                await worker.open.remote(order.connection, order.model.learnt, language)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None

        crew = Crew(min(place.workers or cores, order.concurrency), actor.remote, ready)
        try:
            await crew.seat()
            yield crew
        finally:
            await crew.close()
    finally:
        ray.shutdown()


def _start(ray: Any, place: Workplace) -> None:
    address = place.address
    own = {} if address else {"num_cpus": place.workers, "object_store_memory": OBJECT_STORE}
    if not address:
        # Ray lets its workers wait for everything else on a machine; here they are the work.
        os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        if address and ":" in address:
            _knock(address)
        ray.init(
            # Not what RAY_ADDRESS says: a variable left in the environment must send data nowhere.
            address=address or "local",
            include_dashboard=None if address else False,
            runtime_env={"py_modules": [str(ROOT / name) for name in CODE]},
            log_to_driver=False,
            logging_level="ERROR",
            **own,
        )
    except (OSError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        raise UsageError(
            f"--ray-address: no Ray cluster can be used at {address}: {error}"
            if address
            else f"--engine ray: Ray does not start: {error}",
            hint="Start one with `ray start --head`, with the same versions of Ray and Python.",
        ) from error


def _knock(address: str) -> None:
    """Raise OSError where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=10).close()
