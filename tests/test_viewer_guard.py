"""What keeps the page to its owner: who may ask, what may be asked, what a browser may do."""

import pytest
from starlette.testclient import TestClient

from tests.viewer_world import bare
from viewer.app import build


@pytest.fixture
def page(tmp_path):
    return TestClient(build(bare(tmp_path), 8123), base_url="http://127.0.0.1:8123")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8123",
        "127.0.0.1.evil.example:8123",
        "127.0.0.1:9",
        "127.0.0.1",
        "",
        "[::1]:8123",
    ],
)
def test_a_request_under_another_name_or_port_is_refused(page, host):
    answer = page.get("/", headers={"host": host})
    assert answer.status_code == 421 and "Hopscribe" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8123", "localhost:8123"])
def test_this_machine_is_answered(page, host):
    assert page.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(page, method):
    assert page.request(method, "/").status_code == 405


def test_another_site_may_not_fetch_or_embed_the_page(page):
    for mode, dest in (("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe")):
        asked = {"sec-fetch-site": "cross-site", "sec-fetch-mode": mode, "sec-fetch-dest": dest}
        assert page.get("/", headers=asked).status_code == 403


def test_another_site_may_link_to_the_page(page):
    asked = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert page.get("/", headers={**asked, "sec-fetch-dest": "document"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/style.css", "/calls"])
def test_every_answer_carries_the_policy(page, path):
    headers = page.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


def test_no_page_holds_inline_script_or_style(page):
    for path in ("/", "/nowhere", "/training", "/prompts", "/search?q=x"):
        html = page.get(path).text
        assert "style=" not in html and "<style" not in html and " on" + "click" not in html
        assert all(" src=" in tag for tag in html.split("<script")[1:])


def test_pages_are_not_kept_and_files_are(page):
    assert page.get("/").headers["cache-control"] == "no-store"
    assert "max-age" in page.get("/static/page.js").headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"]
)
def test_no_file_outside_of_ours_is_served(page, path):
    assert page.get(path).status_code == 404


def test_a_bug_is_told_without_its_traceback(tmp_path):
    app = build(bare(tmp_path, load=lambda: 1 / 0))
    page = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    answer = page.get("/search?q=x")
    assert answer.status_code == 500 and "error of Hopscribe" in answer.text
    assert "ZeroDivisionError" not in answer.text and "Traceback" not in answer.text
    assert "content-security-policy" in answer.headers
