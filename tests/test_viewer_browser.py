"""The page in a real Chromium: a way through it, its looks, and whether everybody can use it.

Screenshots go to the folder in SCREENSHOTS, or to a temporary one. Skipped where there is no
Chromium or no Playwright.
"""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.chromium import CHROMIUM, QUIET, needs_chromium
from tests.viewer_world import ROOT, described

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
pytestmark = [needs_chromium, pytest.mark.timeout(600)]
PAGES = {
    "overview": "/",
    "run": "/run",
    "fallen": "/fallen",
    "calls": "/calls?status=rejected",
    "call": "/call?id=3",
    "prompts": "/prompts",
    "compared": "/prompts/compare?a=shipped:refine_user&b=workspace:refine_user",
    "training": "/training",
    "search": "/search?q=quiet",
    "user": "/node?n=user:u1&word=bright",
    "item": "/node?n=item:i1",
    "hostile": "/node?n=item:i0",
    "arabic": "/node?n=item:i2",
    "missing": "/node?n=user:nobody",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return described(tmp_path_factory.getbasetemp() / "viewed")


@pytest.fixture(scope="module")
def address(world):
    """The page as a user starts it."""
    place = ["--data", str(world.data), "--workspace", str(world.workspace)]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "view", "--json", *place],
        cwd=world.home,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield json.loads(process.stdout.readline())["url"]
    process.terminate()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium, address):
    """A tab at the overview. Whatever the browser complains about fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860}, base_url=address)
    context.set_default_timeout(60_000)
    page = context.new_page()
    complaints = []
    page.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    strangers = []
    page.on("request", lambda asked: strangers.append(asked.url) if address not in asked.url else 0)
    page.goto("/")
    yield page
    context.close()
    assert not complaints
    assert not strangers


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def opened(page, path):
    """Open a page and let everything come that comes later."""
    page.goto(path)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_load_state("networkidle")
    page.evaluate("scrollTo(0, 0)")


def test_from_search_to_a_user_to_an_item_to_a_neighbour(tab):
    tab.keyboard.press("/")
    tab.keyboard.type("u17")
    tab.keyboard.press("Enter")
    tab.get_by_role("link", name="user u17", exact=True).first.click()
    assert tab.get_by_role("heading", level=1).inner_text() == "u17"
    around = tab.locator("#around")
    around.get_by_role("link").first.click()
    tab.wait_for_url(re.compile("item%3A"))
    tab.locator("#around").get_by_role("link").first.click()
    tab.wait_for_url(re.compile("user%3A"))
    tab.get_by_role("heading", name="Hop by hop").wait_for()


def test_a_click_in_the_drawn_neighbourhood_leads_to_a_neighbour(tab):
    tab.goto("/node?n=user:u1")
    tab.wait_for_selector("[data-drawn]")
    tab.locator(".graph").scroll_into_view_if_needed()
    # Drawn on a canvas, a node has no element of its own: cytoscape says where it stands.
    x, y = tab.locator(".graph").evaluate(
        "place => { const at = place._cyreg.cy.nodes('[ring = 1]')[0].renderedPosition();"
        " const box = place.getBoundingClientRect(); return [box.x + at.x, box.y + at.y]; }"
    )
    tab.mouse.click(x, y)
    tab.wait_for_url(re.compile("item%3A"))


def test_hops_are_compared_and_a_word_is_traced_by_a_click(tab):
    tab.goto("/node?n=user:u1")
    tab.get_by_label("Compare with").select_option("hop 0")
    tab.wait_for_url(re.compile("against=0"))
    assert tab.get_by_text("against hop 0").count() == 2
    added = tab.locator(".hop[data-hop='2'] .hop-text ins").first
    added.scroll_into_view_if_needed()
    x, y = added.evaluate(
        "ins => { const text = ins.firstChild, range = new Range();"
        " const start = text.data.search(/evidence/);"
        " range.setStart(text, start); range.setEnd(text, start + 8);"
        " const box = range.getBoundingClientRect(); return [box.x + 20, box.y + box.height / 2]; }"
    )
    tab.mouse.click(x, y)
    tab.wait_for_url(re.compile("word=evidence"))
    assert tab.locator(".hop mark").count() > 0
    assert tab.locator("#why").get_by_text("brought").count() > 0


def test_a_call_is_opened_from_the_hop_that_it_wrote(tab):
    tab.goto("/node?n=item:i1")
    tab.locator(".hop[data-hop='1']").get_by_role("link", name="#").first.click()
    tab.wait_for_url(re.compile("/call"))
    tab.get_by_role("heading", name="What was sent").wait_for()
    assert "You improve the description" in tab.locator(".message.system").inner_text()


def test_search_answers_while_one_types_and_by_meaning(tab):
    tab.goto("/search")
    tab.get_by_label("An id, a title").press_sequentially("i1")
    tab.locator("#found").get_by_role("link", name="i1", exact=False).first.wait_for()
    tab.get_by_text("Compared with").wait_for()
    assert "q=" not in tab.url


def test_recommendations_come_with_a_reason(tab):
    tab.goto("/node?n=user:u1")
    tab.get_by_role("heading", name="Recommended").scroll_into_view_if_needed()
    tab.get_by_role("link", name="Why?").first.click()
    tab.locator(".because").get_by_text("rank").wait_for()


def test_calls_are_filtered_without_a_new_page(tab):
    tab.goto("/calls")
    tab.get_by_label("status").select_option("rejected")
    playwright.expect(tab.locator("#calls .accepted")).to_have_count(0)
    assert tab.locator("#calls .rejected").count() > 0


def test_everything_is_reached_by_the_keyboard(tab):
    tab.goto("/node?n=user:u1")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    seen = set()
    for _ in range(120):
        seen.add(tab.evaluate("document.activeElement.closest('section')?.id || ''"))
        tab.keyboard.press("Tab")
    assert {"hops", "why", "around"} <= seen


def test_hostile_text_runs_nowhere(tab):
    for path in ("/node?n=item:i0", "/search?q=script", "/calls?node=item:i0"):
        opened(tab, path)
        assert tab.title() != "taken"
        assert tab.locator("img").count() == 0
        assert tab.evaluate("document.scripts.length") <= 4


def test_a_site_elsewhere_cannot_read_the_page(chromium, address):
    """A page of another origin tries what a hostile site would try."""

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>elsewhere</p>")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = chromium.new_page()
    try:
        page.goto(f"http://localhost:{server.server_port}/")
        read = page.evaluate("url => fetch(url).then(a => a.text(), () => 'refused')", address)
        blind = page.evaluate(
            "url => fetch(url, {mode: 'no-cors'}).then(a => a.type, () => 'refused')", address
        )
        assert read == "refused" and blind in ("refused", "opaque")
        page.evaluate(
            "url => { document.body.innerHTML = `<iframe src='${url}'></iframe>` }", address
        )
        page.wait_for_timeout(500)
        texts = [frame.evaluate("document.body?.innerText || ''") for frame in page.frames]
        assert not any("Hopscribe" in text for text in texts)
    finally:
        page.close()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_usable_by_everybody(chromium, address, shots, name):
    """axe-core finds nothing serious, light or dark; nothing hangs over on a phone."""
    looks = {
        "light": {"viewport": {"width": 1280, "height": 860}},
        "dark": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
        "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    }
    for look, options in looks.items():
        context = chromium.new_context(base_url=address, **options)
        context.set_default_timeout(60_000)
        page = context.new_page()
        opened(page, PAGES[name])
        page.screenshot(path=shots / f"{name}-{look}.png", full_page=True)
        found = axe.Axe().run(page).response["violations"]
        serious = {
            one["id"]: [node["target"] for node in one["nodes"]][:3]
            for one in found
            if one["impact"] in ("serious", "critical")
        }
        assert not serious, look
        if look == "phone":
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        context.close()
