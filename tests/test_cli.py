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
