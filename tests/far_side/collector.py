"""A collector of spans, as small as one can be: OTLP over HTTP, protobuf decoded for real."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Span:
    """One span as it came in."""

    def __init__(self, wire: Any, resource: dict[str, Any]) -> None:
        self.id, self.parent = wire.span_id.hex(), wire.parent_span_id.hex()
        self.trace, self.name, self.kind = wire.trace_id.hex(), wire.name, wire.kind
        self.start, self.end = wire.start_time_unix_nano, wire.end_time_unix_nano
        self.status, self.resource = wire.status, resource
        self.attributes = attributes(wire.attributes)


def attributes(wire: Any) -> dict[str, Any]:
    """Keys and values as Python has them."""
    return {pair.key: value(pair.value) for pair in wire}


def value(wire: Any) -> Any:
    kind = wire.WhichOneof("value")
    if kind == "array_value":
        return [value(one) for one in wire.array_value.values]
    return getattr(wire, kind)


@contextmanager
def collecting(answer: int = 200) -> Iterator[tuple[str, list[Span], list[dict[str, str]]]]:
    """Its address, the spans it was sent, and the headers they came with."""
    spans: list[Span] = []
    headers: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces", self.path
            headers.append({key.lower(): text for key, text in self.headers.items()})
            request = ExportTraceServiceRequest.FromString(body)
            for of in request.resource_spans:
                resource = attributes(of.resource.attributes)
                spans.extend(Span(wire, resource) for s in of.scope_spans for wire in s.spans)
            payload = ExportTraceServiceResponse().SerializeToString()
            self.send_response(answer)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is said."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans, headers
    finally:
        server.shutdown()
        server.server_close()
