"""Price first: an estimate that asks nothing and comes true, and a cap that holds."""

import json
import sqlite3

import pytest

from tests.worlds import make

PRICED = """
models:
  far:
    provider: openai
    model: far
    endpoint: {url}
    input_price: 1.5
    output_price: 6.0
  unpriced:
    provider: openai
    model: far
    endpoint: {url}
"""


@pytest.fixture
def world(tmp_path, cli, far_side):
    """A data set, a server with a price in settings.yaml, and the words of a refine."""

    def made(users=60, items=40, **options):
        data = make(tmp_path / "data", users=users, items=items)
        far = far_side(**options)
        (tmp_path / "home" / "settings.yaml").write_text(PRICED.format(url=far.url))
        words = ["refine", "--data", data, "--workspace", tmp_path / "ws", "--json"]
        return far, [*words, "--model", "far"]

    return made


def asked(far) -> int:
    return sum(request["kind"] == "chat" for request in far.requests())


def spent(tmp_path) -> float:
    db = sqlite3.connect(tmp_path / "ws" / "ledger.sqlite")
    return db.execute("SELECT sum(cost_nanousd) FROM calls").fetchone()[0] / 1e9


def test_a_dry_run_asks_nothing_and_writes_no_outcome(world, cli, tmp_path):
    far, words = world()
    found = cli(*words, "--dry-run").summary
    assert asked(far) == 0 and found["calls"] == 300
    db = sqlite3.connect(tmp_path / "ws" / "ledger.sqlite")
    assert [db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("calls", "runs")] == [
        0,
        0,
    ]
    assert {name: stage["calls"] for name, stage in found["stages"].items()} == {
        "item profiles": 40,
        "user profiles": 60,
        "hop 1": 100,
        "hop 2": 100,
    }
    low, likely, high = found["cost_usd"]
    assert 0 < low < likely < high


def test_a_dry_run_needs_no_key(cli, tmp_path):
    data = make(tmp_path / "data", users=20, items=12)
    found = cli("refine", "--dry-run", "--data", data, "--model", "openai:gpt-4o-mini", "--json")
    assert found.code == 0 and found.summary["cost_usd"][1] > 0


@pytest.mark.parametrize(("bad", "size", "pilot"), [(0.0, 1, 8), (0.15, 3, 25)])
def test_after_a_pilot_the_estimate_is_within_ten_percent(world, cli, tmp_path, bad, size, pilot):
    # How many replies need a repair is a matter of chance, so there a larger pilot has to tell.
    _far, words = world(60 * size, 40 * size, bad=bad)
    assert cli(*words, "--limit", pilot).code == 0
    pilot = spent(tmp_path)
    estimate = cli(*words, "--dry-run").summary
    assert estimate["cached"] > 0 and estimate["learnt_from"] >= 50
    done = cli(*words).summary
    actual = spent(tmp_path) - pilot
    assert done["cost_usd"] == pytest.approx(actual)
    assert estimate["cost_usd"][1] == pytest.approx(actual, rel=0.10)
    assert estimate["cost_usd"][0] <= actual <= estimate["cost_usd"][2]
    assert cli(*words, "--dry-run").summary["calls"] == 0


def test_a_model_without_a_price_reads_unpriced_and_never_nothing(world, cli):
    _far, words = world()
    ended = cli(*words[:-1], "unpriced", "--dry-run")
    assert ended.summary["cost_usd"] is None and "unpriced" in ended.err
    ended = cli(*words[:-1], "unpriced", "--max-cost", "1")
    assert ended.code == 2 and "no price is known" in ended.err


@pytest.mark.parametrize("bad", [0.0, 0.3])
def test_the_cap_is_never_passed_and_the_next_run_goes_on(world, cli, tmp_path, bad):
    far, words = world(bad=bad)
    ended = cli(*words, "--max-cost", "0.03", "-j", "16")
    assert ended.code == 3 and "--max-cost" in ended.err
    # A lost call (the connection was cut) counts with all that it may have cost.
    assert (0.01 if bad else 0.02) < spent(tmp_path) <= 0.03
    assert ended.summary["cost_usd"] <= 0.03
    before = asked(far)
    assert 0 < before < 300
    ended = cli(*words)
    assert ended.code in (0, 3) and ended.summary["cached"] > 0
    names = [request["name"] for request in far.requests() if request["kind"] == "chat"]
    if not bad:
        assert len(names) == len(set(names)) == 300


def test_embeddings_are_priced_capped_and_in_the_bill(world, cli, tmp_path):
    far, words = world()
    words += ["--embedder", "far"]
    ended = cli(*words)
    db = sqlite3.connect(tmp_path / "ws" / "ledger.sqlite")
    rows = db.execute("SELECT input_tokens, cost_nanousd FROM calls WHERE stage = 'embedding'")
    tokens, cost = map(sum, zip(*rows.fetchall(), strict=True))
    assert ended.summary["embedding_tokens"] == tokens > 0
    assert cost == pytest.approx(tokens * 1500)
    assert ended.summary["cost_usd"] == pytest.approx(spent(tmp_path))
    again = cli(*words)
    assert again.summary["embedding_tokens"] == 0 and again.summary["cost_usd"] == 0
    assert json.dumps(far.requests()).count("embeddings") >= 2
