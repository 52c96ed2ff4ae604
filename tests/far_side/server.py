"""The far side of the network: a small HTTP server that speaks OpenAI's protocol, well or badly.

    python -m tests.far_side.server --port 0 --latency 0.2 --log requests.jsonl

Replies depend on the messages alone, so two runs that ask the same get the same. Faults do too:
what is said badly (broken JSON, prose, refusal …) is said badly every time the same is asked;
what fails on the way (429, 500, a cut connection) fails the first times a message comes in.
Prints its port on the first line. One process, raw asyncio, about 0.1 ms a request.
"""

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

WORDS = (
    "quiet careful patient bright sturdy playful honest warm detailed unusual classic modern slow"
    " generous practical elegant rough gentle vivid thoughtful curious steady bold simple rich"
).split()
SAID_BADLY = (
    *("not json", "in prose", "json in prose", "wrong schema", "empty", "refusal", "too long"),
    *("cut off", "another language"),
)
FAILED_ON_THE_WAY = ("429", "429 with wait", "500", "503", "reset")
HANGS = ("stalled", "late")
LATE = 3.0  # seconds: later than the time-out of a test that lets the server hang


def digest(messages: list[dict[str, str]]) -> str:
    """The name of a question: a hash of its roles and texts."""
    plain = [[m["role"], m["content"]] for m in messages]
    return sha256(json.dumps(plain, ensure_ascii=False).encode()).hexdigest()[:16]


def reply(messages: list[dict[str, str]], keys: list[str], salt: str = "") -> str:
    """The good answer to a question, which names the question it answers.

    As in all English, a third of its words are the small ones.
    """
    name = digest(messages)
    draw = random.Random(name + salt)
    words = " and ".join(draw.choice(WORDS) for _ in range(16))
    text = f"The evidence shows something {words}, as portrait {name} has it."
    return json.dumps({keys[0]: text, keys[1]: "Several neighbours say so."})


def spoiled(messages: list[dict[str, str]], keys: list[str], how: str) -> tuple[str, str]:
    """A bad answer and its finish reason."""
    good = reply(messages, keys)
    texts = {
        "not json": good[: len(good) // 2],
        "in prose": "I would say that the reader enjoys sturdy things.",
        "json in prose": f"Here is the object:\n```json\n{good}\n```\nGood luck!",
        "another language": json.dumps(
            {
                keys[0]: "Cette personne aime surtout les livres calmes et les objets solides, "
                "parce que la plupart de ses choix sont faits pour durer.",
                keys[1]: "Plusieurs voisins le disent.",
            }
        ),
        "wrong schema": json.dumps({"answer": "sturdy things"}),
        "empty": json.dumps({keys[0]: "", keys[1]: ""}),
        "refusal": json.dumps({keys[0]: "I'm sorry, I cannot help with that.", keys[1]: ""}),
        "too long": json.dumps({keys[0]: "very " * 900, keys[1]: ""}),
        "cut off": good[: len(good) // 2],
    }
    return texts[how], "length" if how == "cut off" else "stop"


class Limit:
    """A limit on requests that the server does not tell, as a bucket of one second's requests.

    `rates` are requests a minute, each in force for `phase` seconds, the last for ever.
    """

    def __init__(self, rates: list[float], phase: float) -> None:
        self.rates, self.phase = rates, phase
        self.began: float | None = None
        self.last, self.left = 0.0, 0.0
        self.refused = 0

    def takes(self, now: float) -> bool:
        if not self.rates:
            return True
        self.began = now if self.began is None else self.began
        place = min(int((now - self.began) / self.phase), len(self.rates) - 1)
        rate = self.rates[place] / 60
        self.left = min(max(1.0, rate), self.left + (now - self.last) * rate)
        self.last = now
        if self.left < 1:
            self.refused += 1
            return False
        self.left -= 1
        return True


class FarSide:
    """What the server does with a request, and what it remembers of it."""

    def __init__(
        self,
        latency: float = 0.0,
        jitter: float = 0.0,
        bad: float = 0.0,
        always: str = "",
        moody: bool = False,
        hangs: bool = False,
        context: int = 16000,
        limits: str = "",
        phase: float = 60.0,
        log: Path | None = None,
    ) -> None:
        self.latency, self.jitter = latency, jitter
        self.bad, self.always, self.moody, self.hangs = bad, always, moody, hangs
        self.context = context
        self.limit = Limit([float(rate) for rate in limits.split(",") if rate], phase)
        self.seen: Counter[str] = Counter()
        self.asked = 0
        self.most_at_once = 0
        self.at_once = 0
        self.log = log.open("a", encoding="utf-8") if log else None

    def delay(self) -> float:
        return self.latency + random.random() * self.jitter

    def note(self, kind: str, name: str, body: Any) -> None:
        if self.log:
            self.log.write(json.dumps({"kind": kind, "name": name, "body": body}) + "\n")
            self.log.flush()

    def chat(self, body: dict[str, Any]) -> tuple[int, dict[str, str], Any] | str:
        """Status, headers and body; or how the connection fails."""
        messages = body["messages"]
        name = digest(messages)
        self.asked += 1
        if not self.limit.takes(time.monotonic()):
            return 429, {}, {"error": {"message": "one too many"}}
        self.seen[name] += 1
        self.note("chat", name, messages)
        form = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        keys = form.get("required") or ["summarization", "reasoning"]
        if self.always:
            return 200, {}, completion(body, *spoiled(messages, keys, self.always))
        draw = random.Random("fault" + name)
        if draw.random() < self.bad:
            how = draw.choice(FAILED_ON_THE_WAY + SAID_BADLY + (HANGS if self.hangs else ()))
            if how in SAID_BADLY:
                return 200, {}, completion(body, *spoiled(messages, keys, how))
            if self.seen[name] <= draw.randint(1, 2):
                if how in ("reset", *HANGS):
                    return how
                headers = {"retry-after": "0.2"} if how == "429 with wait" else {}
                return int(how[:3]), headers, {"error": {"message": f"try again: {how}"}}
        salt = str(self.asked) if self.moody else ""
        return 200, {}, completion(body, reply(messages, keys, salt), "stop")

    def embeddings(self, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        texts = body["input"]
        self.note("embeddings", "", texts)
        data = [
            {"object": "embedding", "index": i, "embedding": vector(t)} for i, t in enumerate(texts)
        ]
        return 200, {}, {"object": "list", "data": data, "model": body["model"], "usage": {}}


def vector(text: str) -> list[float]:
    """A vector that depends on nothing but the text: its words, hashed into 16 places."""
    places = [0.1] * 16
    for word in text.split():
        places[sha256(word.encode()).digest()[0] % 16] += 1.0
    return places


def completion(body: dict[str, Any], text: str, finish: str) -> dict[str, Any]:
    words = sum(len(m["content"].split()) for m in body["messages"])
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {
            "prompt_tokens": words,
            "completion_tokens": len(text.split()),
            "total_tokens": words + len(text.split()),
        },
    }


class Connection(asyncio.Protocol):
    """Just enough HTTP/1.1: requests with a content-length, answered in any order of arrival."""

    def __init__(self, far_side: FarSide) -> None:
        self.far_side, self.buffer = far_side, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1")
            lengths = [
                int(line.partition(":")[2])
                for line in head.split("\r\n")[1:]
                if line.lower().startswith("content-length:")
            ]
            total = end + 4 + (lengths[0] if lengths else 0)
            if len(self.buffer) < total:
                return
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            self.answer(head.split()[1], body)

    def answer(self, path: str, body: bytes) -> None:
        far_side = self.far_side
        if path.endswith("/stats"):
            told = {"asked": far_side.asked, "most_at_once": far_side.most_at_once}
            self.send(200, {}, {**told, "refused": far_side.limit.refused})
            return
        if path.endswith("/models"):
            one = {"id": "far", "object": "model", "max_model_len": far_side.context}
            self.send(200, {}, {"object": "list", "data": [one]})
            return
        wanted = json.loads(body)
        if path.endswith("/embeddings"):
            self.send(*far_side.embeddings(wanted))
            return
        far_side.at_once += 1
        far_side.most_at_once = max(far_side.most_at_once, far_side.at_once)
        result = far_side.chat(wanted)
        delay = LATE if result == "late" else far_side.delay()
        asyncio.get_running_loop().call_later(delay, self.deliver, result)

    def deliver(self, result: tuple[int, dict[str, str], Any] | str) -> None:
        self.far_side.at_once -= 1
        if self.transport.is_closing():
            return
        if result == "stalled":
            self.transport.write(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"id": ')
        elif isinstance(result, str):
            self.transport.abort()
        else:
            self.send(*result)

    def send(self, status: int, headers: dict[str, str], body: Any) -> None:
        payload = json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", "content-type: application/json"]
        lines += [f"{k}: {v}" for k, v in headers.items()]
        lines += [f"content-length: {len(payload)}", "", ""]
        self.transport.write("\r\n".join(lines).encode() + payload)


async def serve(
    far_side: FarSide, port: int = 0, connection: type[Connection] = Connection
) -> None:
    """Serve until the process is ended; the port is the first line said."""
    server = await asyncio.get_running_loop().create_server(
        lambda: connection(far_side), "127.0.0.1", port, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--jitter", type=float, default=0.0)
    parser.add_argument("--bad", type=float, default=0.0, help="share of questions with a fault")
    parser.add_argument("--always", default="", choices=("", *SAID_BADLY))
    parser.add_argument("--moody", type=bool, default=False, help="never says the same twice")
    parser.add_argument("--hangs", type=bool, default=False, help="some faults are silences")
    parser.add_argument("--context", type=int, default=16000, help="of the model, as it tells")
    parser.add_argument("--limits", default="", help="requests a minute, hidden: 600,120,600")
    parser.add_argument("--phase", type=float, default=60.0, help="seconds each limit is in force")
    parser.add_argument("--log", type=Path)
    given = vars(parser.parse_args())
    port = given.pop("port")
    await serve(FarSide(**given), port)


if __name__ == "__main__":
    asyncio.run(main())
