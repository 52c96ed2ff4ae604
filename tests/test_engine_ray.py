"""Ray workers on a cluster of two nodes: the same run, whoever does the work and whoever dies."""

import asyncio
import json
import os
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from agents.engines import Order, Workplace, open_engine
from agents.models.offline import Offline
from agents.models.openai import OpenAIModel
from agents.run import Watch, refine
from agents.setup import Options
from errors import ModelError, UsageError
from stores.connection import Connection, Price
from stores.datasets import load_training
from stores.embedders import OpenAIEmbedder
from tests.test_kill import all_texts, asked, finished
from tests.worlds import make

CALLS = 8  # in flight, in every run here


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Every process of a cluster has to have the same token, or else not one of them.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid4().hex}
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    yield made
    made.shutdown()


@pytest.fixture
def node(cluster):
    """A second node, with room for one worker as the first; a test may lose it."""
    joined = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    yield joined
    if joined in cluster.worker_nodes:
        cluster.remove_node(joined, allow_graceful=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = make(tmp_path_factory.mktemp("data") / "d", users=24, items=16)
    return load_training(folder, folder, 0)


def run(data, workspace: Path, far, place: Workplace, on_change=lambda tally: None, **told):
    """One run of two hops against a server; its summary."""
    workspace.mkdir()
    reached = Connection("openai", "far", far.url, price=told.pop("price", None))

    async def carried():
        model = OpenAIModel(reached)
        options = Options(hops=2, concurrency=CALLS, place=place, **told)
        async with open_engine(place, Order(reached, model, "English", CALLS)) as engine:
            while place.engine == "ray" and engine.present < 2:
                await asyncio.sleep(0.1)
            watch = Watch(on_change=on_change)
            embedder = OpenAIEmbedder(Connection("openai", "far", far.url, price=Price(0.0)))
            summary = await refine(data, workspace, model, embedder, options, watch, engine)
        await model.close()
        return summary

    return asyncio.run(carried())


def rows(workspace: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as db:
        return sorted(db.execute(sql).fetchall())


def answered(workspace: Path) -> list[tuple]:
    return rows(
        workspace,
        "SELECT key, stage, node, hop, turn, prompt, messages, reply, status, reason, cost_nanousd,"
        " input_tokens, output_tokens FROM calls WHERE status != 'failed' AND stage != 'embedding'",
    )


def outcomes(workspace: Path) -> list[tuple]:
    return rows(workspace, "SELECT node, hop, status, turns, reason, model, text FROM outcomes")


def most_at_once(far) -> int:
    from urllib.request import urlopen

    return int(json.load(urlopen(far.url.removesuffix("/v1") + "/stats"))["most_at_once"])


@pytest.mark.timeout(600)
def test_a_run_is_the_same_to_the_byte_when_ray_does_the_work(
    cluster, node, data, far_side, tmp_path
):
    """Repairs and fallbacks included."""
    far = far_side("clumsy", share=0.5)
    one = run(data, tmp_path / "local", far, Workplace())
    here = asked(far)
    two = run(data, tmp_path / "ray", far, Workplace("ray", cluster.address, 2))
    assert one.tally.repaired and one.tally.fallback
    assert all_texts(tmp_path / "ray") == all_texts(tmp_path / "local")
    assert answered(tmp_path / "ray") == answered(tmp_path / "local")
    assert outcomes(tmp_path / "ray") == outcomes(tmp_path / "local")
    assert Counter(asked(far)[len(here) :]) == Counter(here)
    assert two.tally.repaired == one.tally.repaired and two.tally.fallback == one.tally.fallback
    assert most_at_once(far) <= CALLS


@pytest.mark.timeout(600)
def test_a_node_that_dies_in_the_middle_costs_no_text_and_nothing_is_paid_twice(
    cluster, node, data, far_side, tmp_path
):
    far = far_side(latency=0.1, bad=0.1)
    workspace, before = tmp_path / "ray", list[tuple[set[str], int]]()

    def pull_the_plug(tally) -> None:
        if tally.calls >= 30 and not before:
            before.append((finished(workspace), len(asked(far))))
            cluster.remove_node(node, allow_graceful=False)

    place = Workplace("ray", cluster.address, 2)
    summary = run(data, workspace, far, place, pull_the_plug)
    ((known, seen),) = before
    failed = rows(workspace, "SELECT reason FROM calls WHERE status = 'failed'")
    assert summary.stopped is None and not summary.tally.failed and not summary.tally.fallback
    assert 0 < sum("worker died" in reason for (reason,) in failed) <= CALLS
    assert not known & set(asked(far)[seen:])
    assert sum(times - 1 for times in Counter(asked(far)).values()) <= len(failed)
    assert len(answered(workspace)) == len(set(asked(far)))
    assert sum(map(len, all_texts(workspace).values())) == 120


@pytest.mark.timeout(600)
def test_the_cap_on_money_is_one_for_all_workers_and_never_passed(
    cluster, node, data, far_side, tmp_path
):
    far = far_side(latency=0.05)
    place, cap = Workplace("ray", cluster.address, 2), 30_000_000
    told = {"max_cost": cap, "price": Price(1.0, 4.0)}
    summary = run(data, tmp_path / "ray", far, place, **told)
    assert summary.stopped is not None and "--max-cost" in summary.stopped.message
    assert 0 < summary.tally.cost_nanousd <= cap
    ((spent,),) = rows(tmp_path / "ray", "SELECT sum(cost_nanousd) FROM calls")
    assert spent == summary.tally.cost_nanousd


@pytest.mark.timeout(600)
def test_a_cluster_of_our_own_reports_to_nobody_and_ends_with_the_run(monkeypatch):
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    before = set(psutil.Process().children(recursive=True))

    async def opened() -> list[psutil.Process]:
        order = Order(Connection("offline"), Offline(), "English", 4)
        async with open_engine(Workplace("ray", workers=1), order):
            import ray
            from ray._common.usage.usage_lib import usage_stats_enabled

            assert not usage_stats_enabled()
            assert ray.get(ray.remote(usage_stats_enabled).options(num_cpus=0).remote()) is False
            ours = set(psutil.Process().children(recursive=True)) - before
            rays = [process for process in ours if "/ray/" in " ".join(process.cmdline())]
            assert {"gcs_server", "raylet"} <= {process.name() for process in rays}
            # What would report is started with any cluster; it has no page and is told not to.
            (head,) = (p for p in rays if any(w.endswith("dashboard.py") for w in p.cmdline()))
            assert "--disable-frontend" in head.cmdline()
            assert {p.environ()["RAY_USAGE_STATS_ENABLED"] for p in rays} == {"0"}
            return rays

    _, alive = psutil.wait_procs(asyncio.run(opened()), timeout=20)
    assert not alive


@pytest.mark.timeout(600)
def test_a_model_that_no_worker_can_open_is_told_before_anything_is_asked(cluster, tmp_path):
    broken = Connection("llamacpp", str(tmp_path / "missing.gguf"))

    async def opened() -> None:
        place = Workplace("ray", cluster.address, 1)
        async with open_engine(place, Order(broken, Offline(), "English", 4)):
            raise AssertionError("It must not get here.")

    with pytest.raises((ModelError, UsageError), match=r"missing\.gguf"):
        asyncio.run(opened())


def test_without_ray_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)

    async def opened() -> None:
        order = Order(Connection("offline"), Offline(), "English", 4)
        async with open_engine(Workplace("ray"), order):
            raise AssertionError("It must not get here.")

    with pytest.raises(UsageError, match="Ray is not installed") as caught:
        asyncio.run(opened())
    assert "[ray]" in caught.value.hint


def test_flags_that_do_not_go_together_are_refused(cli):
    batch = cli("refine", "--engine", "ray", "--batch", "--model", "openai:x@http://127.0.0.1:9/v1")
    assert batch.code == 2 and "--batch and --engine ray" in batch.err
    with pytest.raises(UsageError, match="need --engine ray"):
        Workplace("local", workers=2)
    with pytest.raises(UsageError, match="Unknown engine 'spark'"):
        Workplace("spark")
