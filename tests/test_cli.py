"""The command line as its user meets it: verbs, exit codes, JSON, messages."""

from pathlib import Path

import pytest

from tests.worlds import make


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_the_main_job_runs_on_the_bundled_sample_without_any_flag_or_server(cli):
    done = cli("refine", "--limit", "3", "--json")
    assert done.code == 0, done.err
    summary = done.summary
    assert (summary["users"], summary["items"], summary["hops"]) == (3, 3, 2)
    assert summary["failed"] == summary["fallback"] == summary["repaired"] == 0
    assert summary["calls"] == sum(summary["nodes"]) > 12
    assert summary["cost_usd"] == 0
    assert "hop 2 (written" in done.err, "the summary shows a node's life"
    again = cli("refine", "--limit", "3", "--json")
    assert again.summary["calls"] == again.summary["embedded"] == 0


def test_json_is_one_object_on_stdout_and_words_go_to_stderr(cli, tmp_path):
    data = make(tmp_path / "data", users=8, items=6)
    done = cli("profile", "--data", data, "--json")
    assert len(done.out.splitlines()) == 1
    keys = (
        "workspace users items hops calls cached repaired fallback failed input_tokens"
        " output_tokens cost_usd seconds"
    ).split()
    assert set(keys) <= set(done.summary)
    assert done.summary["workspace"] == "workspace/data"


def test_help_loads_nothing_heavy(cli):
    done = cli("--help")
    assert done.code == 0 and "refine" in done.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["refine", "--data", "nowhere"], "nowhere is not a folder"),
        (["refine", "--model", "opena1:x"], "openai:NAME"),
        (["refine", "--model", "openai:gpt-4o-mini"], "OPENAI_API_KEY"),
        (["refine", "--model", "openai:x@nowhere"], "not the address of a server"),
        (["refine", "--embedder", "word2vec"], "minilm"),
        (["refine", "--mode", "prepend"], "--mode"),
        (["refine", "--concurrency", "0"], "--concurrency"),
        (["refine", "--neighbours", "0"], "--neighbours"),
        (["data", "describe", "--data", "nowhere"], "nowhere"),
        (["data", "import", "nowhere.csv", "--out", "x"], "nowhere.csv"),
    ],
)
def test_a_wrong_flag_is_told_in_one_message_with_exit_2(cli, words, told):
    done = cli(*words)
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err


def test_a_wrong_setting_names_its_source(cli, tmp_path):
    write(tmp_path / "home" / "settings.yaml", "concurency: 3\n")
    done = cli("refine")
    assert done.code == 2 and "settings.yaml" in done.err and "concurency" in done.err


def test_a_domain_that_does_not_exist_lists_the_ones_that_do(cli):
    done = cli("refine", env={"HOPSCRIBE_DOMAIN": "boat"})
    assert done.code == 2 and "book" in done.err


def test_import_describe_and_split_lead_to_a_refine(cli, tmp_path):
    rows = ["who,what,stars,said"]
    rows += [f"u{n % 7},i{n % 5},{n % 5 + 1},Thing number {n} is sturdy." for n in range(35)]
    source = write(tmp_path / "shop.csv", "\n".join(rows) + "\n")
    columns = ["user_id=who", "item_id=what", "rating=stars", "review=said"]
    words = [word for column in columns for word in ("--column", column)]
    data = tmp_path / "shop"
    done = cli("data", "import", source, "--out", data, "--json", *words)
    assert done.code == 0, done.err
    assert done.summary["interactions"] == 35
    done = cli("data", "split", "--data", data, "--json")
    # 3:1:1, but for the interactions that give every user and item one for training.
    assert sum(done.summary.values()) == 35 and 21 <= done.summary["train"] <= 24
    done = cli("data", "describe", "--data", data, "--json")
    assert (done.summary["users"], done.summary["items"]) == (7, 5)
    assert cli("profile", "--data", data, "--json").summary["failed"] == 0


def test_a_bad_row_is_named_and_can_be_skipped(cli, tmp_path):
    source = write(tmp_path / "a.csv", "user_id,item_id\nu1,i1\n,i2\nu2,i1\n")
    done = cli("data", "import", source, "--out", tmp_path / "out")
    assert done.code == 2 and "a.csv, row 3" in done.err
    assert not (tmp_path / "out").exists()
    done = cli(
        "data", "import", source, "--out", tmp_path / "out", "--on-bad-rows", "skip", "--json"
    )
    assert done.code == 0 and done.summary["skipped"] == 1
    assert "row 3" in done.err


# Models


def test_models_check_proves_a_server_fit(cli, far_side):
    far = far_side(latency=0.02)
    ended = cli("models", "check", f"openai:far@{far.url}", "--json")
    assert ended.code == 0 and ended.summary["ok"] and ended.summary["problems"] == []
    for what in ("reachable", "model", "context", "reply", "concurrency"):
        assert f"ok  {what}" in ended.err


@pytest.mark.parametrize(
    ("options", "spec", "problem"),
    [
        ({"context": 900}, "openai:far@{url}", "context: 900 tokens"),
        ({}, "openai:far@http://127.0.0.1:1/v1", "reachable: no connection"),
        ({}, "openai:gpt-4o-mini", "OPENAI_API_KEY is not set"),
        ({}, "llamacpp:nowhere.gguf", "nowhere.gguf"),
        ({"always": "in prose"}, "openai:far@{url}", "reply:"),
    ],
)
def test_models_check_says_what_is_wrong(cli, far_side, options, spec, problem):
    far = far_side(**options)
    ended = cli("models", "check", spec.format(url=far.url), "--json")
    assert ended.code == 2 and not ended.summary["ok"] and "Traceback" not in ended.err
    assert any(problem in said for said in ended.summary["problems"])


def test_models_check_knows_offline_and_embedders(cli):
    assert cli("models", "check", "offline").code == 0
    ended = cli("models", "check", "minilm", "--embedder")
    assert ended.code == 0 and "384 dimensions" in ended.err


def test_models_list_shows_names_prices_and_whether_a_key_is_there(cli, tmp_path):
    (tmp_path / "home" / "settings.yaml").write_text(
        "models:\n  cheap: {provider: openai, model: gpt-4o-mini, requests_per_minute: 60}\n"
    )
    rows = cli("models", "list", "--json", env={"OPENAI_API_KEY": "sk-secret-secret"}).summary
    cheap = next(row for row in rows["models"] if row["name"] == "cheap")
    assert cheap["dollars_per_million_input"] == 0.15 and cheap["key"] == "set"
    assert cheap["requests_per_minute"] == 60 and "sk-secret" not in str(rows)


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("models: {a: {provider: openai, api_key: sk-verysecret123}}", "Extra inputs"),
        ("models: {a: {model: sk-verysecret123}}", "required"),
        ("models: {a: {provider: openai, key_variable: sk-verysecret123}}", "environment variable"),
        ("models: {a: {provider: openai, output_price: 1}}", "needs an input_price"),
        ("models: {a: {provider: openai, input_price: .inf}}", "finite"),
        ("timeout: .inf", "finite"),
    ],
)
def test_settings_that_are_wrong_are_told_without_what_may_be_a_key(cli, tmp_path, yaml, said):
    (tmp_path / "home" / "settings.yaml").write_text(yaml + "\n")
    ended = cli("models", "list")
    assert ended.code == 2 and said in ended.err
    assert "sk-verysecret123" not in ended.err and "Traceback" not in ended.err


@pytest.mark.parametrize("dollars", ["inf", "nan"])
def test_a_cap_is_an_amount_of_money(cli, dollars):
    ended = cli("refine", "--max-cost", dollars)
    assert ended.code == 2 and "Traceback" not in ended.err
