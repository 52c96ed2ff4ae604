"""Keys go to the server they belong to, and nowhere else: no file, no word, no log."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.far_side.server import completion, reply, vector
from tests.worlds import make

KEY = "sk-hops-3f9c2b7a1d-distinctive"
ENV = {
    "HOPSCRIBE_API_KEY": KEY,
    "OPENAI_API_KEY": KEY,
    "OPENAI_LOG": "debug",
    "HOPSCRIBE_TIMEOUT": "20",
    "PYTHONASYNCIODEBUG": "1",
}


@contextmanager
def echoing(status):
    """Answers well, or with a status (500 only at first), and repeats the key wherever it can."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            sent = self.headers["authorization"]
            heard.append(sent)
            if "input" in body:
                data = [{"index": i, "embedding": vector(t)} for i, t in enumerate(body["input"])]
                self.say(200, {"data": data, "model": "m", "object": "list", "usage": {}})
            elif status == 200 or (status == 500 and len(heard) > 2):
                said = json.loads(reply(body["messages"], ["summarization", "reasoning"]))
                said["reasoning"] = f"You sent {sent}."
                self.say(200, completion(body, json.dumps(said), "stop"))
            else:
                self.say(status, {"error": {"message": f"Bad: {sent}", "headers": {"h": sent}}})

        def say(self, code, body):
            payload = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.send_header("x-request-id", self.headers["authorization"])
            self.send_header("x-echo", self.headers["authorization"])
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", heard
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (400, 0), (401, 2), (422, 0), (500, 0)])
def test_a_key_is_in_no_file_and_in_no_word(cli, tmp_path, status, code):
    data, workspace = make(tmp_path / "data", users=4, items=4, per_user=3), tmp_path / "ws"
    with echoing(status) as (url, heard):
        done = cli(
            "profile", "--data", data, "--workspace", workspace, "--json",
            "--model", f"openai:x@{url}", "--embedder", f"openai:x@{url}", env=ENV,
        )  # fmt: skip
    assert done.code == code, done.err
    assert f"Bearer {KEY}" in heard, "the server itself gets it"
    assert KEY not in done.out + done.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (workspace / "ledger.sqlite") in files
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
