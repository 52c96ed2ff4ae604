"""A far side with Files and Batches, as OpenAI has them, well or badly, in a process of its own.

    python -m tests.far_side.batches --port 0 --delay 0.5 --shuffle 1 --log requests.jsonl

It answers single calls and embeddings too, and says the same to the same question either way. A
batch is worked through in `delay` seconds. Its log has a line per file, batch and cancellation
(kind, name, body); prints its port on the first line.
"""

import argparse
import json
import random
import threading
import time
from email import message_from_bytes
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.far_side.server import FarSide

ENDED = ("completed", "failed", "expired", "cancelled")


class Batch:
    """One batch: how far it is follows from the time."""

    def __init__(self, name: str, file: str, lines: list[dict[str, Any]], metadata: Any) -> None:
        self.name, self.file, self.lines, self.metadata = name, file, lines, metadata
        self.began = time.time()
        self.status, self.output, self.errors = "validating", None, None
        self.done = self.failed = 0
        self.ends_as, self.cancelled_at = "completed", 0.0

    def told(self) -> dict[str, Any]:
        complaint = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached."}
        return {
            "id": self.name,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "status": self.status,
            "input_file_id": self.file,
            "output_file_id": self.output,
            "error_file_id": self.errors,
            "errors": {"data": [complaint]} if self.status == "failed" else None,
            "created_at": int(self.began),
            "request_counts": {
                "total": len(self.lines),
                "completed": self.done,
                "failed": self.failed,
            },
            "metadata": self.metadata,
        }


class BatchSide(FarSide):
    """What the server has, and what it does with it."""

    def __init__(self, given: argparse.Namespace) -> None:
        super().__init__(bad=given.bad, log=given.log)
        self.given = given
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Batch] = {}
        self.lock = threading.RLock()
        self.working = False
        self.looks = 0

    def note(self, kind: str, name: str, body: Any) -> None:
        super().note("line" if kind == "chat" and self.working else kind, name, body)

    def store(self, content: bytes) -> dict[str, Any]:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        self.note("file", name, len(content))
        return {"id": name, "object": "file", "bytes": len(content), "purpose": "batch"}

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        batch = Batch(
            f"batch_{len(self.batches)}", body["input_file_id"], lines, body.get("metadata")
        )
        place = len(self.batches)
        self.batches[batch.name] = batch
        if place < self.given.refuse:
            batch.ends_as = "failed"
        elif place < self.given.refuse + self.given.expire:
            batch.ends_as = "expired"
        self.note("batch", batch.name, [line["custom_id"] for line in lines])
        return batch.told()

    def look(self, batch: Batch) -> dict[str, Any]:
        gone = (time.time() - batch.began) / max(self.given.delay, 1e-9)
        if batch.status in ENDED:
            return batch.told()
        if batch.cancelled_at:
            if time.time() > batch.cancelled_at + 0.3:
                self.work(batch, len(batch.lines) // 2, "cancelled")
        elif gone >= 1:
            half = len(batch.lines) // 2
            share = {"completed": len(batch.lines), "expired": half, "failed": 0}[batch.ends_as]
            self.work(batch, share, batch.ends_as)
        else:
            batch.status = "validating" if gone < 0.1 else "in_progress"
            batch.done = int(gone * len(batch.lines))
        return batch.told()

    def work(self, batch: Batch, share: int, ends_as: str) -> None:
        """Answer the first lines of a batch, and write the files."""
        self.working = True
        good, bad = [], []
        for line in batch.lines[:share]:
            answer = self.chat(line["body"])
            name, wrong = line["custom_id"], self.given.wrong
            if wrong and int(sha256(name.encode()).hexdigest(), 16) % 3 == 0:
                answer = (int(wrong), {}, {"error": {"message": "This line is refused."}})
            if isinstance(answer, str):
                error = {"code": "server_error", "message": "The line was lost."}
                bad.append({"custom_id": name, "response": None, "error": error})
                continue
            response = {"status_code": answer[0], "request_id": "r", "body": answer[2]}
            told = {"id": "x", "custom_id": name, "response": response, "error": None}
            (good if answer[0] == 200 else bad).append(told)
        if ends_as in ("expired", "cancelled"):
            error = {"code": f"batch_{ends_as}", "message": "This request was not executed."}
            bad += [
                {"custom_id": line["custom_id"], "response": None, "error": error}
                for line in batch.lines[share:]
            ]
        self.working = False
        batch.status, batch.done, batch.failed = ends_as, len(good), len(bad)
        if ends_as != "failed":
            batch.output = self.write(batch, good, "out") if good else None
            batch.errors = self.write(batch, bad, "err") if bad else None

    def write(self, batch: Batch, lines: list[dict[str, Any]], kind: str) -> str:
        if self.given.shuffle:
            random.Random(batch.name).shuffle(lines)
        written = [json.dumps(line, ensure_ascii=False) for line in lines]
        if self.given.twice:
            written = [line for line in written for _ in range(2)]
        if kind == "out" and self.given.garbage and batch.name == "batch_0":
            written[0] = '{"custom_id": "not the whole li'
        name = f"{batch.name}-{kind}"
        self.files[name] = "".join(line + "\n" for line in written).encode()
        return name


class Handler(BaseHTTPRequestHandler):
    """Just enough HTTP for the openai client."""

    protocol_version = "HTTP/1.1"
    side: BatchSide

    def do_GET(self) -> None:
        side, parts = self.side, urlsplit(self.path)
        words = parts.path.split("/")[2:]
        with side.lock:
            side.looks += 1
            if side.given.flaky and side.looks % side.given.flaky == 1:
                self.say(500, {"error": {"message": "now and then"}})
                return
            known = [side.look(batch) for batch in reversed(side.batches.values())]
        match words:
            case ["batches"]:
                query = parse_qs(parts.query)
                after = query.get("after", [None])[0]
                names = [one["id"] for one in known]
                start = names.index(after) + 1 if after else 0
                # Small pages, so that somebody has to turn them.
                page = known[start : start + 2]
                more = start + 2 < len(known)
                self.say(200, {"object": "list", "data": page, "has_more": more})
            case ["batches", name] if name in side.batches:
                self.say(200, side.batches[name].told())
            case ["files", name, "content"] if name in side.files:
                self.content(side.files[name])
            case _:
                self.say(404, {"error": {"message": f"no such {self.path}"}})

    def do_POST(self) -> None:
        side, words = self.side, self.path.split("/")[2:]
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        match words:
            case ["files"]:
                time.sleep(side.given.slow_upload)
                head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
                parts = message_from_bytes(head + body).get_payload()
                content = [p.get_payload(decode=True) for p in parts if p.get_filename()]
                with side.lock:
                    self.say(200, side.store(content[0]))
            case ["batches"]:
                with side.lock:
                    told = side.create(json.loads(body))
                time.sleep(side.given.slow_create)
                self.say(200, told)
            case ["batches", name, "cancel"] if name in side.batches:
                with side.lock:
                    batch = side.batches[name]
                    side.note("cancel", name, None)
                    if batch.status not in ENDED:
                        batch.status, batch.cancelled_at = "cancelling", time.time()
                    self.say(200, batch.told())
            case ["chat", "completions"]:
                with side.lock:
                    answer = side.chat(json.loads(body))
                # Not 429: who is refused because of a rate waits for a minute.
                lost = isinstance(answer, str)
                code = 500 if lost or answer[0] == 429 else answer[0]
                self.say(code, {} if lost else answer[2])
            case ["embeddings"]:
                with side.lock:
                    self.say(200, side.embeddings(json.loads(body))[2])
            case _:
                self.say(404, {"error": {"message": f"no such {self.path}"}})

    def content(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        for line in content.splitlines(keepends=True):
            self.wfile.write(line)
            self.wfile.flush()
            time.sleep(self.side.given.drip)

    def say(self, code: int, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        return


class Server(ThreadingHTTPServer):
    """One that does not mind when a client is killed."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.2)
    parser.add_argument("--bad", type=float, default=0.0)
    parser.add_argument("--expire", type=int, default=0, help="batches that end half done")
    parser.add_argument("--refuse", type=int, default=0, help="batches that fail validation")
    parser.add_argument("--wrong", type=int, default=0, help="status of a third of the lines")
    parser.add_argument("--shuffle", type=int, default=0)
    parser.add_argument("--twice", type=int, default=0, help="every line comes twice")
    parser.add_argument("--garbage", type=int, default=0, help="one line of the first output")
    parser.add_argument("--flaky", type=int, default=0, help="every n-th look is an HTTP 500")
    parser.add_argument("--slow_upload", type=float, default=0.0)
    parser.add_argument("--slow_create", type=float, default=0.0)
    parser.add_argument("--drip", type=float, default=0.0, help="seconds between result lines")
    parser.add_argument("--log", type=Path)
    Handler.side = BatchSide(parser.parse_args())
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
