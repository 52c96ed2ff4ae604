"""The pages over a workspace that real runs made: what each shows, none of it as markup."""

import hashlib
import re
import sqlite3
from html import unescape

import pytest
from starlette.testclient import TestClient

from stores.trails import calls, figures, nodes
from stores.trails import runs as trails
from stores.trails.filters import Filter
from stores.trails.reading import reading
from tests.viewer_world import ARABIC, CHINESE, bare, client, described
from viewer.app import build


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return described(tmp_path_factory.getbasetemp() / "viewed")


@pytest.fixture(scope="module")
def page(world):
    return client(world)


@pytest.fixture(scope="module")
def ledger(world):
    with reading(world.workspace) as db:
        yield db


def plain(html):
    """The text of a page in one line: tags of blocks are spaces, other tags are nothing."""
    spaced = re.sub(r"</?(?:d[dt]|small|t[dhr]|li|p|h\d|div|span)\b[^>]*>", " ", html)
    return " ".join(re.sub(r"<[^>]+>", "", spaced).split())


def test_a_workspace_without_a_ledger_says_how_to_begin(tmp_path):
    page = TestClient(build(bare(tmp_path)), base_url="http://127.0.0.1")
    answer = page.get("/")
    assert answer.status_code == 200 and "python cli.py refine" in answer.text
    for path in ("/calls", "/run", "/fallen", "/search/meaning?q=x", "/node?n=user:u1"):
        assert page.get(path).status_code == 404
    for path in ("/prompts", "/training", "/search?q=x"):
        assert page.get(path).status_code == 200


def test_the_overview_sums_up_what_was_spent(page, ledger):
    text = plain(page.get("/").text)
    found = trails.runs(ledger)
    assert f"${sum(run.cost_nanousd for run in found) / 1e9:.4f}" in text
    assert f"calls {sum(run.calls for run in found):,} 2 runs" in text
    assert "30 users and 20 items" in text


def test_a_run_says_what_each_hop_cost(page, ledger, world):
    html = page.get("/run", params={"id": world.runs[0]}).text
    stages = {stage.name: stage for stage in trails.stages(ledger, world.runs[0])}
    row = next(part for part in html.split("<tr>") if ">hop 1<" in part)
    assert f"${stages['hop 1'].cost_nanousd / 1e9:.4f}" in row
    assert stages["hop 1"].cost_nanousd > 0
    assert f"{stages['hop 1'].settled} of" not in row and ">50<" in row


def test_all_runs_are_listed_the_newest_first(page, world):
    html = page.get("/runs").text
    places = [html.index(f"/run?id={id}") for id in reversed(world.runs)]
    assert places == sorted(places)
    assert "2 of them" in html and page.get("/runs?page=9").status_code == 200


def test_nodes_that_fell_back_are_listed_with_the_reason(page, ledger, world):
    found = nodes.fallen(ledger, world.runs[0]).rows
    assert found, "the far side says enough badly"
    text = plain(page.get("/fallen", params={"run": world.runs[0]}).text)
    for one in found[:5]:
        assert one.node.partition(":")[2] in text
        assert one.reason.partition(" (")[0][:60] in text


def test_a_call_shows_the_exact_messages_and_the_reply(page, ledger, world):
    rejected = calls.page(ledger, Filter(status="rejected", repairs=True), limit=1).rows[0]
    whole = calls.whole(ledger, rejected.id)
    html = page.get("/call", params={"id": rejected.id}).text
    text = unescape(re.sub(r"<[^>]+>", "", html))
    for _, message in whole.messages[1:]:
        assert message.split("⟦")[0].strip()[:200] in text
    assert whole.row.reason[:60] in text
    assert "repair 1" in text and "question" in text


def test_calls_are_narrowed_by_filters_and_paged(page, ledger):
    rejected = page.get("/calls", params={"status": "rejected"}).text
    assert "rejected</span>" in rejected and "accepted</span>" not in rejected
    first = page.get("/calls").text
    (following,) = re.findall(r'href="(/calls\?after=[^"]+)"', first)
    second = page.get(following.replace("&amp;", "&")).text
    ids = [set(re.findall(r"/call\?id=(\d+)", html)) for html in (first, second)]
    assert len(ids[0]) == 50 and ids[1] and not ids[0] & ids[1]


def test_prompt_versions_are_told_with_their_cost_and_compared(page, ledger):
    used = [one for one in figures.versions(ledger) if one.name == "refine_user"]
    assert [one.version for one in used] == ["2", "1"]
    text = plain(page.get("/prompts").text)
    assert all(f"${one.cost_nanousd / 1e9:.4f}" in text for one in used)
    shown = page.get("/prompts/compare", params={"a": used[1].ref, "b": used[0].ref}).text
    assert "<del>Keep </del>" in shown and "<ins>Name first </ins>" in shown


def test_a_node_shows_every_hop_and_what_it_added(page, ledger, world):
    life = nodes.life(ledger, "user:u1", world.runs[1])
    html = page.get("/node", params={"n": "user:u1"}).text
    assert re.findall(r"<h3 id=\"hop-\d\">Hop (\d)</h3>", html) == ["0", "1", "2"]
    added = life[2].text.removeprefix(life[1].text).strip()
    assert added and re.search(rf"<ins>\s*{re.escape(added)}</ins>", html)
    assert life[2].prompt.partition(":")[0] == "refine_user@2"
    assert "refine_user@2" in html and "openai:far" in html


def test_hops_are_compared_with_another_run_or_another_hop(page, ledger, world):
    asked = {"n": "user:u1", "against": f"run:{world.runs[0]}"}
    text = plain(page.get("/node", params=asked).text)
    assert f"against hop 2 of run {world.runs[0]}" in text
    first = page.get("/node", params={"n": "user:u1", "against": "0"}).text
    assert first.count("against hop 0") == 2
    last = first.split('id="hop-2"')[1].split("</article>")[0]
    life = nodes.life(ledger, "user:u1", world.runs[1])
    assert f"{life[0].text}<ins>" in last
    assert f"{life[2].text.removeprefix(life[0].text)}</ins>" in last


def test_a_text_names_everybody_whose_text_it_was_shown(page, ledger, world):
    html = page.get("/node", params={"n": "item:i1"}).text
    column = html.split('id="hop-1"')[1].split("</article>")[0]
    whole = calls.whole(ledger, calls.page(ledger, Filter(node="item:i1", hop=1)).rows[0].id)
    shown = len(re.findall("⟦user: ", whole.messages[1][1]))
    linked = set(re.findall(r"/node\?n=user%3A(u\d+)", column.split("What it was shown")[1]))
    assert shown and len(linked) == shown


def test_a_word_is_followed_down_to_who_said_it(page, ledger, world):
    """The far side has few words, so some user's new word was in a neighbour's text."""
    for user in nodes.ids(ledger, "user:", 30):
        life = nodes.life(ledger, user, world.runs[1])
        added = life[2].text.removeprefix(life[1].text)
        new = set(re.findall(r"[a-z]{5,}", added)) - set(re.findall(r"[a-z]{5,}", life[1].text))
        for word in sorted(new):
            html = page.get("/node", params={"n": user, "word": word}).text
            assert f"Hop 2 brought {word}" in plain(html)
            if "It was shown to it by" in html:
                why = plain(html.split("It was shown to it by")[1])
                assert re.search(r"item (\S+ )*\S+ description, brought by hop [01]", why), why[
                    :300
                ]
                return
    raise AssertionError("no word was traced")


def test_a_word_that_no_description_has_is_said_to_be_in_none(page):
    text = plain(page.get("/node", params={"n": "user:u1", "word": "xylophone"}).text)
    assert "None of these descriptions says xylophone." in text


def test_hostile_titles_and_reviews_never_become_markup(page):
    paths = ["/node?n=item:i0", "/search?q=script", "/", "/fallen", "/calls?node=item:i0"]
    paths += [
        "/node?n=user:u1&word=<script>alert(1)</script>",
        "/search?q=<script>alert(1)</script>",
    ]
    paths += ["/calls?model=<script>alert(1)</script>", "/nope/<script>alert(1)</script>"]
    for path in paths:
        html = page.get(path).text
        assert "<script>alert" not in html and "<script>document" not in html, path
        assert "<img src=x" not in html and "\u202e" not in html and "\x1b" not in html, path
    assert "&lt;script&gt;document.title" in page.get("/node?n=item:i0").text


def test_a_hostile_call_is_shown_as_it_was_sent(page, ledger):
    row = calls.page(ledger, Filter(node="item:i0"), limit=1).rows[0]
    html = page.get("/call", params={"id": row.id}).text
    assert "&lt;script&gt;document.title" in html and "<script>document" not in html


def test_chinese_and_arabic_stand_in_their_own_direction(page):
    for node, title in (("item:i1", CHINESE), ("item:i2", ARABIC)):
        html = page.get("/node", params={"n": node}).text
        assert f'<h1 dir="auto">{title}</h1>' in html
        assert re.search(r'<div class="said[^"]*" dir="auto" lang="en">', html)
    for asked in (CHINESE[2:4], ARABIC[:5]):
        assert asked in plain(page.get("/search", params={"q": asked}).text)


def test_search_finds_ids_and_titles(page):
    assert "/node?n=user%3Au17" in page.get("/search", params={"q": "user:u17"}).text
    assert "/node?n=item%3Ai7" in page.get("/search", params={"q": "title-i7"}).text
    assert "No id or title" in page.get("/search", params={"q": "zzz"}).text


def test_a_part_is_sent_alone_to_htmx_and_in_a_page_to_everybody_else(page):
    whole = page.get("/search", params={"q": "u1"}).text
    part = page.get("/search", params={"q": "u1"}, headers={"hx-request": "true"}).text
    assert "<html" in whole and "<html" not in part and "u1" in part
    assert "<html" in page.get("/node/nearest", params={"n": "user:u1"}).text


def test_a_node_that_is_not_there_is_told_with_a_way_on(page):
    answer = page.get("/node", params={"n": "user:nobody"})
    assert answer.status_code == 404
    assert "no node" in answer.text and "Search for it" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        *("/call?id=999999", "/call?id=x", "/run?id=x", "/training/run?name=..", "/calls?after=x"),
        *("/prompts/compare?a=nothing@1:abc", "/training/curves.png?name=../../data"),
    ],
)
def test_what_is_not_there_is_told_and_does_not_break(page, path):
    assert page.get(path).status_code == 404


def test_no_key_is_on_any_page(page, world):
    for path in ("/", "/run", "/calls", "/call?id=1"):
        assert "a-key-that-nobody-may-see" not in page.get(path).text


def test_looking_writes_nothing_into_the_workspace(world):
    def state():
        files = [path for path in world.workspace.rglob("*") if path.is_file()]
        return {
            path: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if not path.name.endswith(("-wal", "-shm"))
        }

    before = state()
    page = client(world)
    pages = ["/", "/run", "/prompts", "/training", "/search/meaning?q=quiet"]
    for path in [*pages, *(f"/node{part}?n=user:u2" for part in ("", "/nearest", "/recommended"))]:
        assert page.get(path).status_code == 200, path
    assert state() == before


def test_a_damaged_ledger_is_told_with_what_to_do(world, tmp_path):
    broken = tmp_path / "ws"
    broken.mkdir()
    (broken / "ledger.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    page = TestClient(build(bare(broken)), base_url="http://127.0.0.1")
    answer = page.get("/")
    assert answer.status_code == 503 and "stores rebuild" in answer.text
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(broken / "ledger.sqlite").execute("SELECT * FROM calls")
