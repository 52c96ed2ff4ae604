"""Damaged stores of a finished workspace: told with a message, mended from each other."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from stores.ledger_file import VERSION
from stores.rows import SCHEMA, insert_texts, whole
from stores.salvage import rows, salvage
from stores.sqlite_file import connect, create
from tests.conftest import ROOT, Ended
from tests.worlds import make


def run(home, *words):
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *map(str, words)],
        cwd=home, capture_output=True, text=True, timeout=120, env=dict(os.environ),
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A data folder, its finished workspace, and the words of the run that made it."""
    home = tmp_path_factory.mktemp("finished")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.far_side.server", "--log", str(home / "far.jsonl")],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as far:  # fmt: skip
        try:
            url = f"http://127.0.0.1:{far.stdout.readline().strip()}/v1"
            words = ["refine", "--data", make(home / "data"), "--json", "--hops", "1"]
            words += ["--model", f"openai:far@{url}", "--embedder", f"openai:far@{url}"]
            assert run(home, *words, "--workspace", home / "ws").code == 0
            yield home, words
        finally:
            far.terminate()


@pytest.fixture
def ws(finished, tmp_path):
    shutil.copytree(finished[0] / "ws", tmp_path / "ws")
    return tmp_path / "ws"


@pytest.fixture
def refine(finished, ws):
    return lambda: run(ws.parent, *finished[1], "--workspace", ws)


def rebuild(ws):
    done = run(ws.parent, "stores", "rebuild", "--workspace", ws, "--json")
    assert done.code == 0, done.err
    return done.summary


def texts(ws):
    """Read in a process of its own: Chroma keeps what it once opened."""
    code = (
        "import json, sys; from pathlib import Path; from stores.descriptions import Descriptions\n"
        "d = Descriptions(Path(sys.argv[1]))\n"
        "rows = {f'{k} {h}': [[r.node, r.text, r.metadata['status']] for r in d.rows(k, h)]"
        " for k, h in d.layers()}\n"
        "print(json.dumps([rows, [len(d.vectors(k, h)[0]) for k, h in d.layers()]]))"
    )
    command = [sys.executable, "-c", code, str(ws / "chroma")]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(said.stdout)


def count(ws, table):
    with closing(sqlite3.connect(ws / "ledger.sqlite")) as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def asked(finished):
    lines = (finished[0] / "far.jsonl").read_text().splitlines()
    return sum(json.loads(line)["kind"] == "chat" for line in lines)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def empty(path):
    path.write_bytes(b"")


def garble_header(path):
    path.write_bytes(random.Random(1).randbytes(100) + path.read_bytes()[100:])


def garble_page(path):
    """A page of rows in the middle, known by its first byte; of replies if there are such."""
    data = bytearray(path.read_bytes())
    pages = [
        n for n in range(len(data) // 4096 // 3, len(data) // 4096) if data[n * 4096] in (10, 13)
    ]
    pages.sort(key=lambda n: b"as portrait" not in data[n * 4096 : (n + 1) * 4096])
    start = pages[0] * 4096
    data[start : start + 4096] = random.Random(1).randbytes(4096)
    path.write_bytes(data)


def garble_all(path):
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


LEDGER = [cut, empty, garble_header, garble_page, garble_all]


def assert_told(done, path):
    assert done.code == 2, done.err
    assert str(path) in done.err and "stores rebuild" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("damage", LEDGER)
def test_a_damaged_ledger_is_told_and_no_description_is_lost(finished, ws, refine, damage):
    before, had = texts(ws), {name: count(ws, name) for name in ("calls", "outcomes", "runs")}
    damage(ws / "ledger.sqlite")
    was = (ws / "ledger.sqlite").read_bytes()
    assert_told(refine(), ws / "ledger.sqlite")
    report = rebuild(ws)
    assert report["ledger"] == "damaged"
    assert (ws / "ledger.sqlite.damaged-1").read_bytes() == was
    assert count(ws, "outcomes") == had["outcomes"]
    if damage in (cut, garble_page):
        assert 0 < report["saved"]["calls"] <= had["calls"]
        assert report["saved"]["texts"] and report["outcomes_from_chroma"] < had["outcomes"]
    if damage is garble_header:
        assert report["saved"]["calls"] == had["calls"]
        assert report["outcomes_from_chroma"] == 0
    if damage in (empty, garble_all):
        assert report["outcomes_from_chroma"] == had["outcomes"] and count(ws, "calls") == 0
    assert texts(ws) == before and report["written"] == 0


def test_after_a_repair_only_the_lost_calls_are_asked_again(finished, ws, refine):
    before = texts(ws)
    garble_page(ws / "ledger.sqlite")
    rebuild(ws)
    # A reply is found again where its call, and its text, were saved.
    with closing(sqlite3.connect(ws / "ledger.sqlite")) as db:
        known = db.execute("SELECT count(*) FROM calls JOIN texts ON hash = reply").fetchone()[0]
    done = refine()
    assert done.code == 0, done.err
    assert done.summary["cached"] >= known and done.summary["calls"] > 0
    assert texts(ws) == before


@pytest.mark.parametrize("damage", ["gone", "sqlite cut", "sqlite garbled", "sqlite empty"])
def test_damaged_descriptions_are_told_and_come_back_from_the_ledger(finished, ws, refine, damage):
    before, calls = texts(ws), asked(finished)
    main = ws / "chroma" / "chroma.sqlite3"
    match damage:
        case "gone":
            shutil.rmtree(ws / "chroma")
        case "sqlite cut":
            cut(main)
        case "sqlite garbled":
            garble_page(main)
        case "sqlite empty":
            empty(main)
    if damage != "gone":
        assert_told(refine(), ws / "chroma")
    report = rebuild(ws)
    assert report["chroma"] == ("missing" if damage == "gone" else "damaged")
    assert report["written"] == report["descriptions"] == 100
    assert report["embedded"] == 0, "the cache of embeddings has them all"
    assert texts(ws) == before
    done = refine()
    assert (done.code, done.summary["calls"], done.summary["embedded"]) == (0, 0, 0)
    assert asked(finished) == calls, "no model was asked"


def test_a_damaged_cache_of_embeddings_is_told_and_computed_again(ws, refine):
    before = texts(ws)
    garble_page(ws / "vectors.sqlite")
    told = refine()
    assert told.code == 2 and "vectors.sqlite" in told.err and "Traceback" not in told.err
    shutil.rmtree(ws / "chroma")
    report = rebuild(ws)
    assert report["vectors"] == "damaged" and report["embedded"] > 0
    assert texts(ws) == before


def test_sound_stores_are_left_as_they_are(ws):
    before = texts(ws)
    report = rebuild(ws)
    assert (report["ledger"], report["chroma"], report["vectors"]) == ("sound",) * 3
    assert report["written"] == report["embedded"] == 0 and report["put_aside"] == []
    assert texts(ws) == before


def test_a_folder_that_is_not_there_is_told(tmp_path):
    done = run(tmp_path, "stores", "rebuild", "--workspace", tmp_path / "nowhere")
    assert done.code == 2 and "is not a folder" in done.err


def test_the_newest_rows_are_saved_from_a_ledger_that_was_not_closed(tmp_path):
    create(tmp_path / "l.sqlite", SCHEMA, VERSION)
    db = connect(tmp_path / "l.sqlite")
    long = "é" * 30_000
    db.execute("INSERT INTO texts VALUES ('name', ?)", (long,))
    assert ["name", long] in [values for _, _, values in rows(tmp_path / "l.sqlite")]
    db.close()


@pytest.mark.parametrize("form", ["", " WITHOUT ROWID"], ids=["now", "as older files have it"])
def test_texts_of_any_length_are_saved_from_a_ledger_in_either_form(tmp_path, form):
    bodies = ["short", "é" * 700, "long " * 1_000, "very long " * 10_000]
    damaged, fresh = tmp_path / "damaged.sqlite", tmp_path / "fresh.sqlite"
    create(damaged, f"CREATE TABLE texts (hash TEXT PRIMARY KEY, body TEXT NOT NULL){form};", 1)
    create(fresh, SCHEMA, VERSION)
    with closing(connect(damaged)) as old, closing(connect(fresh)) as new:
        insert_texts(old, bodies)
        saved = salvage(damaged, new, {"texts": whole}, once_in_index=["texts"])
        assert saved["texts"] == len(bodies)
        assert sorted(body for (body,) in new.execute("SELECT body FROM texts")) == sorted(bodies)
