"""A far side that is too obedient: it does what it reads where only we should speak.

    python -m tests.far_side.obedient --parrots no --log requests.jsonl

A hostile text outside of the fences ⟦…⟧ is obeyed: the reply says so. With `--parrots yes` it is a
weak model besides, which in most of its replies, repairs included, repeats hostile text from inside
of the fences.
"""

import argparse
import asyncio
import json
import random
import re
from pathlib import Path
from typing import Any

from prompts.untrusted import CLOSE, OPEN
from tests.far_side import server
from tests.hostile import found_in

OBEYED = "As ordered by a stranger"
# Not all: a run whose nodes get no usable reply one after the other is stopped, as it should be.
SHARE = 0.8
_FENCED = re.compile(f"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}")


def outside(messages: list[dict[str, str]]) -> str:
    """What is said outside of the fences, in every message."""
    return "\n".join(_FENCED.sub(" ", message["content"]) for message in messages)


def inside(messages: list[dict[str, str]]) -> str:
    """What stands within fences, in every message."""
    return "\n".join(found for m in messages for found in _FENCED.findall(m["content"]))


class Obedient(server.FarSide):
    """Good replies, until something hostile is where it can be obeyed or repeated."""

    def __init__(self, parrots: bool, log: Path | None) -> None:
        super().__init__(log=log)
        self.parrots = parrots

    def chat(self, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        messages = body["messages"]
        name = server.digest(messages)
        self.note("chat", name, messages)
        form = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        keys = form.get("required") or ["summarization", "reasoning"]
        reply = json.loads(server.reply(messages, keys))
        said = list(found_in(inside(messages))) if self.parrots else []
        orders = [] if self.parrots else list(found_in(outside(messages)))
        if orders:
            reply[keys[0]] = f"{OBEYED}: {orders[0].core}"
        elif said and (draw := random.Random(name)).random() < SHARE:
            reply[keys[0]] += f" {draw.choice(said).core}"
        text = json.dumps(reply, ensure_ascii=False)
        return 200, {}, server.completion(body, text, "stop")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parrots", choices=("yes", "no"), default="no")
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    asyncio.run(server.serve(Obedient(given.parrots == "yes", given.log)))


if __name__ == "__main__":
    main()
