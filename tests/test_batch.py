"""`refine --batch` as a user runs it: whole runs against a server with Files and Batches."""

import json

import pytest

from tests.batch_runs import ask, handed_in, kinds, settle
from tests.test_kill import all_texts
from tests.test_refine_end_to_end import assert_every_text_answers_its_own_question, outcomes
from tests.worlds import make


def test_batches_write_the_texts_of_the_single_calls_at_half_the_price(cli, far_side, tmp_path):
    data = make(tmp_path / "data", users=9, items=7)
    spent = {}
    for way in ("online", "batch"):
        # A server each: what fails on the way fails the first times a question comes in.
        words = settle(tmp_path / "home", far_side("batches", bad=0.3, shuffle=1, twice=1))
        words += ["--data", data, "--workspace", tmp_path / way, "--hops", "1", "--json"]
        done = cli("refine", *words, *(["--batch"] if way == "batch" else []))
        assert done.code == 0, done.err
        assert done.summary["repaired"] > 0
        sums = "SELECT sum(cost_nanousd) FROM calls WHERE stage != 'embedding'"
        spent[way] = ask(tmp_path / way, sums)[0][0]
        assert done.summary["cost_usd"] == spent[way] / 1e9
    assert all_texts(tmp_path / "batch") == all_texts(tmp_path / "online")
    assert spent["batch"] * 2 == spent["online"] > 0
    told = outcomes(tmp_path / "batch", done.summary["run"])
    assert_every_text_answers_its_own_question(tmp_path / "batch", told)


def test_a_stage_is_one_file_and_a_question_is_in_it_once(cli, far_side, tmp_path):
    data, far = make(tmp_path / "data", users=12, items=12), far_side("batches")
    things = [{"item_id": f"i{n}", "title": "Strings", "description": "A set."} for n in range(12)]
    (data / "items.jsonl").write_text("".join(json.dumps(t) + "\n" for t in things), "utf-8")
    words = settle(tmp_path / "home", far)
    done = cli("refine", "--batch", "--data", data, "--workspace", tmp_path / "ws", *words)
    assert done.code == 0, done.err
    assert kinds(far)["batch"] == kinds(far)["file"] == 4
    assert set(handed_in(far).values()) == {1}
    first = next(r["body"] for r in far.requests() if r["kind"] == "batch")
    assert len(first) == 1, "twelve equal questions"


def test_a_single_call_answers_a_later_batch_and_the_other_way_round(cli, far_side, tmp_path):
    data, far = make(tmp_path / "data", users=12, items=8), far_side("batches")
    words = [*settle(tmp_path / "home", far), "--data", data, "--workspace", tmp_path / "ws"]
    cli("refine", *words, "--limit", "2", "--hops", "1")
    online = kinds(far)["chat"]
    single = {key for (key,) in ask(tmp_path / "ws", "SELECT key FROM calls WHERE turn = 0")}
    batch = cli("refine", *words, "--hops", "1", "--batch", "--json")
    assert batch.code == 0, batch.err
    assert batch.summary["cached"] == online
    assert not set(handed_in(far)) & single
    assert kinds(far)["chat"] == online
    again = cli("refine", *words, "--hops", "1", "--json")
    assert again.summary["calls"] == 0 and kinds(far)["chat"] == online


def test_what_an_expired_batch_finished_is_used_and_the_rest_goes_out_again(
    cli, far_side, tmp_path
):
    data = make(tmp_path / "data", users=12, items=10)
    far = far_side("batches", expire=1)
    words = [*settle(tmp_path / "home", far), "--data", data, "--workspace", tmp_path / "ws"]
    done = cli("refine", "--batch", *words, "--json")
    assert done.code == 0 and done.summary["failed"] == 0, done.err
    first, second = [r["body"] for r in far.requests() if r["kind"] == "batch"][:2]
    assert second == first[len(first) // 2 :]
    assert max(handed_in(far).values()) == 2
    assert kinds(far)["line"] == len(handed_in(far)), "a finished question was paid for again"
    statuses = ask(tmp_path / "ws", "SELECT status FROM batches ORDER BY created")
    assert statuses[:2] == [("expired",), ("completed",)]
    assert ask(tmp_path / "ws", "SELECT count(*) FROM calls WHERE status = 'failed'") == [(0,)]


def test_a_question_that_every_batch_leaves_open_fails_in_the_end(cli, far_side, tmp_path):
    data = make(tmp_path / "data", users=6, items=6)
    far = far_side("batches", wrong=500)
    words = [*settle(tmp_path / "home", far), "--data", data, "--workspace", tmp_path / "ws"]
    done = cli("profile", "--batch", *words, "--json")
    assert done.code == 3 and done.summary["failed"] > 0
    assert max(handed_in(far).values()) == 3
    reasons = ask(tmp_path / "ws", "SELECT reason, cost_nanousd FROM calls WHERE status = 'failed'")
    assert {cost for _, cost in reasons} == {0}
    assert all("HTTP 500" in reason and "line is refused" in reason for reason, _ in reasons)


def test_a_refused_line_spoils_only_its_own_node(cli, far_side, tmp_path):
    # A third of 170 is more than the failures in a row that stop a run.
    data = make(tmp_path / "data", users=170, items=20)
    far = far_side("batches", wrong=400)
    words = [*settle(tmp_path / "home", far), "--data", data, "--workspace", tmp_path / "ws"]
    done = cli("profile", "--batch", *words, "--json")
    assert done.code == 0, done.err
    failed = ask(tmp_path / "ws", "SELECT count(*) FROM calls WHERE status = 'failed'")[0][0]
    assert done.summary["fallback"] == failed > 50
    assert set(handed_in(far).values()) == {1}, "a question that is declined is not asked again"
    assert done.summary["calls"] == len(handed_in(far))


def test_garbage_in_the_output_and_a_flaky_server_change_no_text(cli, far_side, tmp_path):
    data = make(tmp_path / "data", users=10, items=8)
    for name, options in (("well", {}), ("badly", {"garbage": 1, "flaky": 3, "shuffle": 1})):
        far = far_side("batches", **options)
        words = settle(tmp_path / "home", far)
        done = cli("refine", "--batch", "--data", data, "--workspace", tmp_path / name, *words)
        assert done.code == 0, done.err
    assert all_texts(tmp_path / "well") == all_texts(tmp_path / "badly")
    assert sorted(handed_in(far).values())[-2:] == [1, 2], "only the garbled line goes out again"


def test_a_batch_that_fails_validation_stops_the_run_and_says_why(cli, far_side, tmp_path):
    data = make(tmp_path / "data", users=6, items=6)
    far = far_side("batches", refuse=1)
    words = [*settle(tmp_path / "home", far), "--data", data, "--workspace", tmp_path / "ws"]
    done = cli("refine", "--batch", *words)
    assert done.code == 3
    assert "Enqueued token limit reached" in done.err and "--limit" in done.err
    assert "Traceback" not in done.err and kinds(far)["batch"] == 1
    assert cli("refine", "--batch", *words).code == 0


def test_a_cap_sends_what_fits_and_then_stops_the_run(cli, far_side, tmp_path):
    data = make(tmp_path / "data", users=20, items=12)
    far = far_side("batches")
    words = [*settle(tmp_path / "home", far), "--data", data, "--workspace", tmp_path / "ws"]
    done = cli("profile", "--batch", *words, "--max-cost", "0.03", "--json")
    assert done.code == 3 and "--max-cost" in done.err
    assert 0 < len(handed_in(far)) < 32
    assert 0 < done.summary["cost_usd"] <= 0.03
    assert done.summary["calls"] == len(handed_in(far)), "what was sent was brought home"
    assert cli("profile", "--batch", *words, "--max-cost", "9").code == 0
    assert set(handed_in(far).values()) == {1}


def test_a_dry_run_shows_half_the_price_and_hands_nothing_in(cli, far_side, tmp_path):
    data, far = make(tmp_path / "data", users=6, items=6), far_side("batches")
    words = [*settle(tmp_path / "home", far), "--data", data, "--dry-run", "--json"]
    full = cli("refine", *words).summary["cost_usd"]
    half = cli("refine", *words, "--batch").summary["cost_usd"]
    assert half == pytest.approx([cost / 2 for cost in full], rel=1e-3)
    assert far.requests() == []


@pytest.mark.parametrize("model", ["offline", "openai:far@{}/nothing"])
def test_a_model_without_a_batch_api_is_refused(cli, far_side, tmp_path, model):
    data = make(tmp_path / "data", users=6, items=6)
    words = ["--data", data, "--workspace", tmp_path / "ws"]
    done = cli("profile", "--batch", *words, "--model", model.format(far_side("batches").url))
    assert done.code == 2
    assert "no Batch API" in done.err and "Traceback" not in done.err
