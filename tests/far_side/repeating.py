"""A far side behind a faulty proxy: some questions get the answer to another one.

    python -m tests.far_side.repeating --share 0.1 [--late yes]

A share of the questions gets, the first two times it is asked, the whole answer that went out last:
the same id, the same text. With `--late yes` some responses follow once more on the same
connection, after a moment and unasked.
"""

import argparse
import asyncio
import random
from pathlib import Path
from typing import Any

from tests.far_side import server

Result = tuple[int, dict[str, str], Any]


class Repeating(server.FarSide):
    """Names every completion differently, and repeats some."""

    def __init__(self, share: float, late: bool, log: Path | None) -> None:
        super().__init__(latency=0.01, jitter=0.02, log=log)
        self.share, self.late = share, late
        self.last: Result | None = None

    def chat(self, body: dict[str, Any]) -> Result:
        result = super().chat(body)
        assert not isinstance(result, str)
        name = server.digest(body["messages"])
        draws = random.Random("repeat" + name).random()
        result[2]["id"] = f"chatcmpl-{self.asked}"
        result[2]["chosen"] = draws < self.share and self.seen[name] <= 2
        return result


class Faulty(server.Connection):
    """Sends the last answer in place of another one, or once more a little later."""

    far_side: Repeating

    def deliver(self, result: Result | str) -> None:
        assert not isinstance(result, str)
        last, chosen = self.far_side.last, result[2].pop("chosen")
        if chosen:
            self.far_side.note("repeated", "", None)
        if chosen and not self.far_side.late and last is not None:
            super().deliver(last)
            return
        self.far_side.last = result
        super().deliver(result)
        if chosen and self.far_side.late:
            asyncio.get_running_loop().call_later(0.001, self.send, *result)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--late", choices=("yes", "no"), default="no")
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    far_side = Repeating(given.share, given.late == "yes", given.log)
    asyncio.run(server.serve(far_side, connection=Faulty))


if __name__ == "__main__":
    main()
