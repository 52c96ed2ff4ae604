"""The model that is no model: the extractive writer behind the same border as every other."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from agents.extractive import write
from agents.limits import Turn
from agents.models.base import Answer, Request


class Offline:
    """Writes from the evidence alone: deterministic, free, and marked as `offline` everywhere."""

    name = "offline"
    endpoint = "in process"
    # Part of the cache key: a new way of writing must not replay the old one's texts.
    parameters: Mapping[str, Any] = {"writer": 1}
    writes_any_language = False
    learnt = ""

    async def complete(self, request: Request, turn: Turn) -> Answer:
        async with turn:
            text = await asyncio.to_thread(write, request.evidence, request.max_words)
        first, second = request.schema["required"]
        return Answer(json.dumps({first: text, second: "extracted"}, ensure_ascii=False))

    def price(self, input_tokens: int | None, output_tokens: int | None) -> int | None:
        return 0

    async def close(self) -> None:
        return None
