"""A far side that is always there and often says it badly: repairs and fallbacks, quickly.

    python -m tests.far_side.clumsy --share 0.4

Nothing fails on the way, so no run slows down to spare it.
"""

import argparse
import asyncio
import random
from pathlib import Path
from typing import Any

from tests.far_side import server


class Clumsy(server.FarSide):
    """Says a share of its answers badly; the same question always gets the same answer."""

    def __init__(self, share: float, latency: float, log: Path | None) -> None:
        super().__init__(latency=latency, log=log)
        self.share = share

    def chat(self, body: dict[str, Any]) -> tuple[int, dict[str, str], Any] | str:
        messages = body["messages"]
        draw = random.Random("clumsy" + server.digest(messages))
        if draw.random() >= self.share:
            return super().chat(body)
        self.note("chat", server.digest(messages), messages)
        form = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        keys = form.get("required") or ["summarization", "reasoning"]
        how = draw.choice(server.SAID_BADLY)
        return 200, {}, server.completion(body, *server.spoiled(messages, keys, how))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=float, default=0.4)
    parser.add_argument("--latency", type=float, default=0.005)
    parser.add_argument("--log", type=Path)
    asyncio.run(server.serve(Clumsy(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
