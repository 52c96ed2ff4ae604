"""A run as spans to a collector while it goes on: what the ledger has, every other second.

It reads the ledger beside the run, in a thread of its own, so the run never waits for a collector.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from errors import HopscribeError
from stores.otlp import Collector, Sender
from stores.trails.reading import LEDGER, reading
from stores.trails.runs import runs
from verbs.terminal import complain

EVERY_S = 2.0


@contextmanager
def followed(workspace: Path, url: str | None) -> Iterator[None]:
    """Send the run that is made inside to a collector, if one is named.

    A collector that does not answer is told once, at the end; the run is not touched by it. Raises
    UsageError at once for an address that is none.
    """
    if url is None:
        yield
        return
    following = _Following(workspace, Collector(url))
    thread = threading.Thread(target=following.go_on, name="spans", daemon=True)
    thread.start()
    try:
        yield
    finally:
        following.over.set()
        thread.join()
        if following.error is not None:
            complain(following.error)


class _Following:
    def __init__(self, workspace: Path, collector: Collector) -> None:
        self._workspace, self._collector = workspace, collector
        self._begun = time.time()
        self._sender: Sender | None = None
        self.over = threading.Event()
        self.error: HopscribeError | None = None

    def go_on(self) -> None:
        """Send until the run is over and everything of it is sent, or the collector is gone."""
        try:
            while not self.over.wait(EVERY_S):
                self._send(last=False)
            self._send(last=True)
        except HopscribeError as error:
            self.error = error
        finally:
            self._collector.close()

    def _send(self, last: bool) -> None:
        if not (self._workspace / LEDGER).is_file():
            return
        with reading(self._workspace) as db:
            if self._sender is None:
                ours = next((run for run in runs(db) if run.started >= self._begun), None)
                if ours is None:
                    return
                self._sender = Sender(self._collector, ours.id)
            self._sender.calls(db)
            if last:
                self._sender.frame(db)
