"""`traces export`: calls with their texts as JSON lines, parquet or spans, oldest first."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from errors import UsageError
from stores.otlp import Collector, Sender
from stores.trails.filters import Filter
from stores.trails.runs import run as run_of
from stores.trails.stream import every
from verbs.tracing import call


def exported(db: sqlite3.Connection, given: Filter, out: Path) -> dict[str, Any]:
    """Write the calls that are wanted into a file, all of it or nothing.

    The file's ending says the format. Raises UsageError for another one, and where it cannot be
    written.
    """
    if out.suffix not in (".jsonl", ".parquet"):
        raise UsageError(f"--out: {out} ends neither in .jsonl nor in .parquet.")
    if out.is_dir():
        raise UsageError(f"--out: {out} is a folder.")
    fresh = out.with_name(f"{out.name}.new")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        rows = _rows(db, given)
        count = _jsonl(rows, fresh) if out.suffix == ".jsonl" else _parquet(rows, fresh)
        fresh.replace(out)
    except OSError as error:
        raise UsageError(f"--out: {out} cannot be written: {error.strerror}.") from error
    finally:
        fresh.unlink(missing_ok=True)
    return {"file": str(out), "calls": count}


def sent(db: sqlite3.Connection, run: str, url: str) -> dict[str, Any]:
    """Send a run to a collector. Raises StoreError where it does not take it."""
    collector = Collector(url)
    try:
        sender = Sender(collector, run_of(db, run).id)
        sender.calls(db)
        sender.frame(db)
    finally:
        collector.close()
    return {"otlp": url, "run": run, "spans": sender.sent}


def _rows(db: sqlite3.Connection, given: Filter) -> Iterator[dict[str, Any]]:
    for row, parameters, messages, reply in every(db, given):
        yield {
            **call(row),
            "endpoint": row.endpoint,
            "parameters": parameters,
            "messages": [{"role": role, "content": text} for role, text in messages],
            "reply": reply,
        }


def _jsonl(rows: Iterator[dict[str, Any]], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _parquet(rows: Iterator[dict[str, Any]], path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, whole, number = pa.string(), pa.int64(), pa.float64()
    message = pa.struct([("role", text), ("content", text)])
    kinds = {
        **dict.fromkeys(("id", "hop", "turn", "attempt", "input_tokens", "output_tokens"), whole),
        **dict.fromkeys(("cost_usd", "latency_ms"), number),
        "messages": pa.list_(message),
    }
    names = (
        *("id", "run", "stage", "node", "hop", "turn", "attempt", "prompt", "model", "status"),
        *("reason", "finish", "input_tokens", "output_tokens", "cost_usd", "started"),
        *("latency_ms", "endpoint", "parameters", "messages", "reply"),
    )
    schema = pa.schema([(name, kinds.get(name, text)) for name in names])
    count, some = 0, []
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for row in rows:
            some.append(row)
            count += 1
            if len(some) == 5000:
                writer.write_table(pa.Table.from_pylist(some, schema))
                some = []
        writer.write_table(pa.Table.from_pylist(some, schema))
    return count
