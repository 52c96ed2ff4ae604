"""Descriptions on a real Chroma server: the verbs, several workspaces, and what can go wrong."""

import asyncio
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from agents.models.offline import Offline
from agents.run import Watch, refine
from agents.setup import Options
from errors import StoreError
from stores.chroma import Server
from stores.connection import Connection
from stores.datasets import load_training
from stores.descriptions import Descriptions, Row
from stores.embedders import OpenAIEmbedder
from tests.chroma_server import free_port, running
from tests.worlds import make


@pytest.fixture
def data(tmp_path):
    return make(tmp_path / "data")


@pytest.fixture
def embedder(far_side):
    return f"openai:far@{far_side().url}"


def stored(workspace, url):
    return Descriptions(workspace / "chroma", Server(url))


def one_row(text):
    return [Row("item:1", text, {"hop": 0})], np.eye(1, 4, dtype=np.float32)


def test_every_verb_finds_on_the_server_what_refine_wrote_there(
    cli, data, embedder, chroma_url, tmp_path
):
    words = ["--data", data, "--workspace", tmp_path / "ws", "--chroma", chroma_url, "--json"]
    first = cli("refine", "--hops", 1, "--embedder", embedder, *words)
    assert first.code == 0 and first.summary["embedded"] == 100, first.err
    assert not (tmp_path / "ws" / "chroma").exists()
    assert cli("refine", "--hops", 1, "--embedder", embedder, *words).summary["embedded"] == 0

    trained = cli("train", "--align", "contrastive", "--epochs", 1, *words)
    assert trained.code == 0 and trained.summary["hop"] == "hop1", trained.err
    assert cli("similar", "i1", "--by", "text", *words).summary["items"]
    assert [one["node"] for one in cli("explain", "u1", "i1", *words).summary["texts"]] == [
        "user:u1",
        "item:i1",
    ]
    assert "recall@20" in cli("evaluate", "text", *words).summary["test"]
    exported = cli("export", "--out", tmp_path / "out", *words)
    assert exported.summary["counts"]["descriptions"] == 100, exported.err


def test_the_setting_does_what_the_flag_does(cli, data, embedder, chroma_url, tmp_path):
    words = ["--data", data, "--workspace", tmp_path / "ws", "--embedder", embedder]
    done = cli("refine", "--hops", 0, *words, env={"HOPSCRIBE_CHROMA": chroma_url})
    assert done.code == 0, done.err
    assert stored(tmp_path / "ws", chroma_url).hops() == [0]


def test_workspaces_on_one_server_do_not_see_each_other(chroma_url, tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        stored(tmp_path / name, chroma_url).write("item", 0, *one_row(name), "e")
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    assert stored(tmp_path / "copy", chroma_url).layers() == []
    stored(tmp_path / "other", chroma_url).drop_above(-1)
    assert stored(tmp_path / "one", chroma_url).texts("item", 0) == {"item:1": "one"}


# What can go wrong


def test_a_server_that_is_not_there_is_told_before_anything_is_asked(cli, data, tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    done = cli("refine", "--data", data, "--workspace", tmp_path / "ws", "--chroma", url)
    assert done.code == 2 and f"No Chroma server can be reached at {url}" in done.err
    assert "Traceback" not in done.err and not (tmp_path / "ws" / "ledger.sqlite").exists()


@contextmanager
def answering(status: int, body: str) -> Iterator[tuple[str, list[str]]]:
    """A server that says the same to everything, and the Authorization headers that it was sent."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, '"0.6.3"', "version 0.6.3, which is too old"),
        (200, "<html>Welcome</html>", "is no Chroma server that we can use"),
        (404, "not here", "is no Chroma server that we can use"),
        (403, "", "wants a key"),
        (200, '"1.0.0"', "cannot be opened"),
    ],
)
def test_what_is_no_fit_chroma_server_is_told(tmp_path, status, body, told):
    with answering(status, body) as (url, _), pytest.raises(StoreError, match=told) as caught:
        stored(tmp_path, url)
    assert url in caught.value.message and caught.value.hint


def test_the_key_goes_with_every_request_and_into_no_error(cli, data, tmp_path):
    key = "chroma-key-0123456789"
    words = ["refine", "--data", data, "--workspace", tmp_path / "ws", "--chroma"]
    with answering(500, f"I was sent Bearer {key}") as (url, seen):
        done = cli(*words, url, env={"HOPSCRIBE_CHROMA_KEY": key})
    assert seen == [f"Bearer {key}"]
    assert done.code == 2 and key not in done.err + done.out
    assert key not in repr(Server(url, key))


@pytest.mark.parametrize(
    "url", ["http://me:s3cretword@host:8000", "http://host:8000?token=s3cretword", "s3cretword@x"]
)
def test_an_address_that_holds_a_secret_is_refused_and_not_repeated(cli, data, url, tmp_path):
    done = cli("refine", "--data", data, "--workspace", tmp_path / "ws", "--chroma", url)
    assert done.code == 2 and "HOPSCRIBE_CHROMA_KEY" in done.err
    assert "s3cretword" not in done.err + done.out


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP here")
def test_a_server_that_stops_answering_is_told(tmp_path):
    with running(tmp_path / "srv") as server:
        opened = Descriptions(tmp_path / "chroma", Server(server.url, timeout=2.0))
        opened.write("item", 0, *one_row("text"), "e")
        os.kill(server.process.pid, signal.SIGSTOP)
        with pytest.raises(StoreError, match="cannot be read: timed out"):
            opened.texts("item", 0)


def test_nothing_paid_is_lost_when_the_server_goes_away_in_the_middle(
    cli, data, far_side, tmp_path
):
    workspace, port = tmp_path / "ws", free_port()
    workspace.mkdir()
    far = far_side()
    with running(tmp_path / "srv", port) as server:

        def go_away(texts: int) -> None:
            server.process.kill()
            server.process.wait()

        with pytest.raises(StoreError, match="cannot be written") as caught:
            asyncio.run(
                refine(
                    load_training(data, workspace / "split", 0),
                    workspace,
                    Offline(),
                    OpenAIEmbedder(Connection("openai", "far", far.url)),
                    Options(hops=1),
                    Watch(on_embedded=go_away),
                    server=Server(server.url),
                )
            )
    assert f"stores rebuild --workspace {workspace} --chroma" in caught.value.hint
    words = ["--workspace", workspace, "--embedder", f"openai:far@{far.url}", "--json"]
    with running(tmp_path / "another", port) as server:
        filled = cli("stores", "rebuild", "--chroma", server.url, *words)
        assert filled.summary["chroma"] == "missing", filled.err
        assert filled.summary["written"] == 100
        again = cli("refine", "--data", data, "--hops", 1, "--chroma", server.url, *words)
        assert (again.summary["calls"], again.summary["embedded"]) == (0, 0), again.err


def test_collections_that_do_not_hold_what_was_written_are_mended_on_the_server(
    cli, data, embedder, chroma_url, tmp_path
):
    workspace = tmp_path / "ws"
    words = ["--workspace", workspace, "--chroma", chroma_url, "--embedder", embedder, "--json"]
    assert cli("refine", "--data", data, "--hops", 0, *words).code == 0
    before = stored(workspace, chroma_url).texts("item", 0)
    rows, vector = one_row("garbled")
    stored(workspace, chroma_url).write("item", 0, rows, 3 * vector, "another")
    report = cli("stores", "rebuild", *words).summary
    assert report["chroma"] == "damaged" and report["embedded"] == 0
    assert stored(workspace, chroma_url).texts("item", 0) == before
