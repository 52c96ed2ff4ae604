"""Servers in a thread of the test: one that is hard to please, and one that only listens."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

from tests.far_side.server import completion, reply


def form_of(body: dict[str, Any]) -> str | None:
    """The form of reply that a request asks for."""
    wish = body.get("response_format", {})
    form: str | None = wish.get("type")
    return f"{form} with schema" if "schema" in wish else form


@contextmanager
def picky(knows: list[str], status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Runs in a thread of the test; gives its address and the bodies it was sent."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(body)
            form = form_of(body)
            if status != 200:
                self.say(status, {"error": {"message": "no"}})
            elif form is not None and form not in knows:
                self.say(400, {"error": {"message": f"response_format {form} is not supported"}})
            else:
                text = reply(body["messages"], ["summarization", "reasoning"])
                self.say(200, completion(body, text, "stop"))

        def say(self, code: int, body: dict[str, Any]) -> None:
            payload = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.send_header("retry-after", "7")
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def listening() -> Iterator[tuple[str, list[bytes]]]:
    """A port that notes whatever is said to it, in any protocol, and hangs up."""
    heard: list[bytes] = []

    class Listener(BaseRequestHandler):
        def handle(self) -> None:
            heard.append(self.request.recv(1000))

    server = ThreadingTCPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", heard
    finally:
        server.shutdown()
        server.server_close()
