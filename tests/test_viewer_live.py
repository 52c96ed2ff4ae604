"""A run while it writes: what the page says of it, and that it looks again by itself."""

import asyncio
import json
import subprocess
import sys
import threading
import time

import pytest
from starlette.testclient import TestClient

from stores.ledger import Ledger
from stores.rows import Call, Outcome
from stores.trails.runs import Run
from tests.chromium import CHROMIUM, QUIET, needs_chromium
from tests.conftest import ROOT
from tests.viewer_world import bare
from viewer.app import build
from viewer.overview import SILENT_S, pulse

STAGES = {"item profiles": 4, "user profiles": 6, "hop 1": 10}


def call(number, cost=1_000_000):
    return Call(
        key=f"key{number}", run="r1", stage="item profiles", node=f"item:i{number}", hop=0,
        turn=0, attempt=1, prompt="item_profile@1:abc", model="far", endpoint="", parameters="{}",
        messages=(("system", "s"), ("user", f"u{number}")), reply="{}", status="accepted",
        reason="", finish="stop", input_tokens=10, output_tokens=5, cost_nanousd=cost,
        started=time.time(), latency_ms=20.0,
    )  # fmt: skip


async def write(ledger, number):
    await ledger.record(call(number))
    outcome = Outcome(f"item:i{number}", 0, "written", 1, "", "item_profile@1:abc", "far", "Text.")
    await ledger.settle("r1", [outcome])


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as found:
        settings = {"hops": 1, "model": "far", "stages": STAGES}
        asyncio.run(found.begin_run("r1", time.time() - 60, settings))
        asyncio.run(write(found, 0))
        yield found


def told(started, active, ended=None, how=""):
    return Run("r", started, ended, how, active, {}, 10, 0, 0, 0, 0, 0, 0, {})


def test_a_run_lives_while_its_last_call_is_not_long_ago():
    now = 10_000.0
    assert pulse(told(now - 900, now - 10), now).how == "live"
    assert pulse(told(now - 900, now - SILENT_S - 1), now).how == "silent"
    assert pulse(told(now - 5, None), now).how == "live"
    assert pulse(told(now - 900, now - 10, now - 1, "stopped"), now).how == "stopped"
    assert pulse(told(now - 900, now - 10, now - 1), now).how == "failed"
    assert pulse(told(now - 100, now - 10), now).rate == pytest.approx(0.1)


def test_a_live_run_is_shown_beside_the_run_that_writes(tmp_path, ledger):
    page = TestClient(build(bare(tmp_path)), base_url="http://127.0.0.1")
    before = page.get("/").text
    assert "Running now" in before and 'hx-trigger="tick from:body"' in before
    assert "1 of 4" in " ".join(before.replace("<", " <").split())
    asyncio.run(write(ledger, 1))
    assert "2 of 4" in " ".join(page.get("/").text.split())


def test_stages_that_are_still_to_come_are_shown_empty(tmp_path, ledger):
    html = TestClient(build(bare(tmp_path)), base_url="http://127.0.0.1").get("/").text
    assert 'aria-label="hop 1: nothing yet"' in html
    assert "0 of 10" in " ".join(html.split())


def test_a_run_that_was_killed_is_not_called_running(tmp_path, ledger):
    asyncio.run(ledger.write(lambda db: db.execute("UPDATE runs SET started = started - 9000")))
    asyncio.run(ledger.write(lambda db: db.execute("UPDATE calls SET started = started - 9000")))
    html = TestClient(build(bare(tmp_path)), base_url="http://127.0.0.1").get("/").text
    assert "silent since" in html and "Running now" not in html
    assert "The same command goes on with it" in " ".join(html.split())


@needs_chromium
@pytest.mark.timeout(300)
def test_the_page_follows_a_run_without_being_loaded_again(tmp_path, ledger):
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "view", "--json", "--workspace", str(tmp_path)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    complaints = []
    try:
        address = json.loads(process.stdout.readline())["url"]
        with playwright.sync_playwright() as started:
            tab = started.chromium.launch(executable_path=CHROMIUM, args=QUIET).new_page()
            tab.on("console", lambda one: complaints.append(one.text))
            tab.set_default_timeout(60_000)
            tab.goto(address)
            tab.evaluate("window.sameWindow = true")
            tab.locator("#find").fill("half a wo")
            tab.get_by_text("1 of 4").wait_for()
            _in_its_own_loop(write(ledger, 1))
            tab.get_by_text("2 of 4").wait_for()
            assert tab.get_by_text("$0.0020").count() >= 1
            end = ledger.end_run("r1", time.time(), {"ended": "done", "calls": 2})
            _in_its_own_loop(end)
            tab.locator("#overview .state.done").first.wait_for()
            assert tab.evaluate("window.sameWindow") is True
            assert tab.locator("#find").input_value() == "half a wo"
        assert complaints == []
    finally:
        process.terminate()
        process.communicate()


def _in_its_own_loop(work):
    """Playwright's own event loop runs in this thread."""
    thread = threading.Thread(target=asyncio.run, args=(work,))
    thread.start()
    thread.join()
