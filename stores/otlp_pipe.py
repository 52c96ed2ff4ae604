"""Our spans through OpenTelemetry's SDK: a provider of our own, ids that stay, sent at once."""

import logging
from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from stores.spans import Span, number_of, trace_of

NAME = "hopscribe"
_LOGS = logging.getLogger("opentelemetry.exporter")


class _Ids(IdGenerator):
    """Gives the next span the ids that it was told."""

    trace = span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class _Ended(SpanProcessor):
    """Holds spans that ended until they are taken."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


class Pipe:
    """One collector. `send` tells whether it took them.

    Raises ImportError where the exporter, which is an extra, is not installed.
    """

    def __init__(self, endpoint: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        self._ids, self._ended = _Ids(), _Ended()
        resource = Resource.create({"service.name": NAME, "openinference.project.name": NAME})
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer(NAME)
        self._exporter = OTLPSpanExporter(endpoint=endpoint)

    def send(self, run: str, some: Sequence[Span]) -> bool:
        for span in some:
            self._make(run, span)
        made, self._ended.spans = self._ended.spans, []
        # Its words about a collector that is gone would be said in the middle of a progress bar.
        before, _LOGS.propagate = _LOGS.propagate, False
        try:
            return self._exporter.export(made) is SpanExportResult.SUCCESS
        finally:
            _LOGS.propagate = before

    def close(self) -> None:
        self._exporter.shutdown()

    def _make(self, run: str, span: Span) -> None:
        self._ids.trace, self._ids.span = trace_of(run), number_of(span.id)
        parent = None
        if span.parent:
            known = SpanContext(
                self._ids.trace, number_of(span.parent), False, TraceFlags(TraceFlags.SAMPLED)
            )
            parent = set_span_in_context(NonRecordingSpan(known))
        made = self._tracer.start_span(
            span.name,
            context=parent,
            kind=SpanKind.CLIENT if span.remote else SpanKind.INTERNAL,
            attributes=span.attributes,
            start_time=round(span.start * 1e9),
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(end_time=round(span.end * 1e9))
