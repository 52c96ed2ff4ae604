"""Spans to a collector, by OTLP over HTTP: Phoenix, Langfuse, MLflow or any other.

Nothing is sent unless the user names a collector in the settings or on the command line; headers
(a key, say) come from OTEL_EXPORTER_OTLP_HEADERS, as OpenTelemetry has it. No global tracer is set.
"""

import sqlite3
from collections.abc import Sequence
from urllib.parse import urlsplit

from errors import StoreError, UsageError
from stores import spans
from stores.spans import Span
from stores.trails.filters import Filter
from stores.trails.runs import run as run_of
from stores.trails.stream import every

CHUNK = 100
PATH = "/v1/traces"


def collector(url: str) -> str:
    """The full address of a collector. Raises UsageError for one that is none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if "@" in url:
        raise UsageError(
            "A collector's address must not hold a name or a password.",
            hint="Put them into OTEL_EXPORTER_OTLP_HEADERS.",
        )
    if not usable:
        raise UsageError(f"{url!r} is not the address of a collector.", hint="http://HOST:4318")
    plain = url.rstrip("/")
    return plain if plain.endswith(PATH) else plain + PATH


class Collector:
    """A collector that is named by its address. Close it.

    Raises UsageError where the address is none, or OpenTelemetry's exporter is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url, address = url, collector(url)
        try:
            from stores.otlp_pipe import Pipe

            self._pipe = Pipe(address)
        except ImportError as error:
            raise UsageError(
                "Sending spans needs OpenTelemetry's exporter.", hint="pip install -e '.[otel]'"
            ) from error

    def take(self, run: str, some: Sequence[Span]) -> None:
        """Send spans of a run. Raises StoreError where they are not taken."""
        if some and not self._pipe.send(run, some):
            raise StoreError(
                f"The collector at {self._url} did not take the spans.",
                hint="Is it running, and does it speak OTLP over HTTP? What is in the ledger can "
                "be sent later: python cli.py traces export --otlp …",
            )

    def close(self) -> None:
        """Let go of the connection."""
        self._pipe.close()


class Sender:
    """Sends one run's calls as they come in, and its steps and the run itself at the end.

    Spans have the same ids however often they are sent.
    """

    def __init__(self, collector: Collector, run: str) -> None:
        self._collector, self._run = collector, run
        self._last = 0
        self._steps: dict[str, tuple[int, float, float]] = {}
        self.sent = 0

    def calls(self, db: sqlite3.Connection) -> None:
        """Send the calls that were recorded since the last time. Raises StoreError."""
        some: list[Span] = []
        for row, parameters, messages, reply in every(db, Filter(run=self._run), self._last):
            one = spans.call(row, parameters, messages, reply)
            _, start, end = self._steps.get(row.stage, (row.hop, one.start, one.end))
            self._steps[row.stage] = (row.hop, min(start, one.start), max(end, one.end))
            self._last = row.id
            some.append(one)
            if len(some) == CHUNK:
                self._send(some)
                some = []
        self._send(some)

    def frame(self, db: sqlite3.Connection) -> None:
        """Send the steps and the run. Raises StoreError."""
        run = run_of(db, self._run)
        steps = [
            spans.step(run.id, stage, hop, start, end)
            for stage, (hop, start, end) in self._steps.items()
        ]
        begun = min([run.started, *(one.start for one in steps)])
        ended = max([run.ended or run.started, *(one.end for one in steps)])
        self._send([*steps, spans.machine(run, begun, ended)])

    def _send(self, some: Sequence[Span]) -> None:
        self._collector.take(self._run, some)
        self.sent += len(some)
