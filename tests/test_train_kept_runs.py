"""Which trained runs may answer, be compared and be gone on with, by real commands."""

import json

from tests.test_train_verbs import QUICK, text_file
from tests.worlds import make, turned


def record_of(run, tmp_path):
    return json.loads((tmp_path / "home" / run / "run.json").read_text("utf-8"))


def test_a_run_answers_nothing_under_another_split_than_its_own(cli, tmp_path):
    data = make(tmp_path / "data")
    place = ["--data", data, "--workspace", tmp_path / "ws"]
    name = cli("train", *place, *QUICK).summary["run"].rpartition("/")[2]
    turned(data)
    for words in (["evaluate", name], ["recommend", "u3"], ["similar", "i3"]):
        done = cli(*words, *place)
        assert done.code == 2 and "another split" in done.err and "Train again" in done.err


def test_a_run_is_not_compared_with_one_that_was_tested_on_another_split(cli, tmp_path):
    data = make(tmp_path / "data")
    place = ["--data", data, "--workspace", tmp_path / "ws", "--seeds", "2", *QUICK]
    cli("train", *place)
    turned(data)
    aligned = ["--align", "contrastive", "--embeddings", text_file(tmp_path / "text.npz")]
    assert cli("train", *place, *aligned).summary["against_none"] == {}
    base = cli("train", *place).summary
    assert cli("train", *place, *aligned).summary["against_none"]["run"] == base["run"]


def test_the_comparison_is_with_the_run_of_the_same_settings_and_says_which_seeds(cli, tmp_path):
    place = ["--data", make(tmp_path / "data"), *QUICK]
    base = cli("train", *place, "--seeds", "3").summary
    other = cli("train", *place, "--seeds", "3", "--dim", "4").summary
    file = text_file(tmp_path / "text.npz")
    aligned = ["--align", "contrastive", "--embeddings", file, "--seeds", "2"]
    done = cli("train", *place, *aligned)
    against = done.summary["against_none"]
    assert base["run"] != other["run"] and against["run"] == base["run"]
    assert against["seeds"] == [0, 1] and against["same_backbone_settings"] is True
    assert f"vs {base['run'].rpartition('/')[2]}, seeds 0, 1" in done.err
    odd = cli("train", *place, *aligned, "--dim", "8")
    assert odd.summary["against_none"]["run"] == other["run"]
    assert "Mind: that run has other backbone settings" in odd.err


def test_fewer_seeds_than_before_leave_the_others_on_record(cli, tmp_path):
    place = ["--data", make(tmp_path / "data"), *QUICK]
    both = cli("train", *place, "--seeds", "2").summary
    one = cli("train", *place, "--seeds", "1").summary
    assert one["run"] == both["run"] and one["seeds"] == [0]
    assert [seed["seed"] for seed in record_of(one["run"], tmp_path)["seeds"]] == [0, 1]


def test_tuning_again_trains_nothing_again(cli, tmp_path):
    place = ["--data", make(tmp_path / "data"), "--workspace", tmp_path / "ws"]
    words = ["--align", "contrastive", "--embeddings", text_file(tmp_path / "text.npz"), "--tune"]
    first = cli("train", *place, *words, *QUICK)
    checkpoints = sorted((tmp_path / "ws" / "runs").glob("*/seed-0/checkpoint.pt"))
    assert len(checkpoints) == 9
    written = [path.stat().st_mtime_ns for path in checkpoints]
    again = cli("train", *place, *words, *QUICK)
    assert [path.stat().st_mtime_ns for path in checkpoints] == written
    assert again.summary["test"] == first.summary["test"]
    assert [line for line in again.err.splitlines() if "tried" in line] == [
        line for line in first.err.splitlines() if "tried" in line
    ]


def test_a_full_disk_is_told_in_one_message_and_nothing_is_lost(cli, tmp_path):
    place = ["--data", make(tmp_path / "data")]
    first = cli("train", *place, *QUICK).summary
    full = tmp_path / "home" / first["run"] / "embeddings.new.npz"
    full.symlink_to("/dev/full")
    done = cli("train", *place, *QUICK)
    assert done.code == 2 and "No space left" in done.err and "Make room" in done.err
    full.unlink()
    again = cli("train", *place, *QUICK)
    assert again.summary["test"] == first["test"] and "epoch" not in again.err


def test_a_run_tested_without_validation_items_is_evaluated_so(cli, tmp_path):
    place = ["--data", make(tmp_path / "data")]
    masked = cli("train", *place, *QUICK, "--mask-val").summary
    name = masked["run"].rpartition("/")[2]
    assert cli("evaluate", name, *place, "--json").summary["test"] == masked["test"]


def test_a_title_cannot_act_on_the_terminal(cli, tmp_path):
    data = make(tmp_path / "data")
    rows = [json.loads(line) for line in (data / "items.jsonl").read_text("utf-8").splitlines()]
    for row in rows:
        row["title"] = "\x1b[2J\x1b[31mRed\nand two lines"
    (data / "items.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    cli("train", "--data", data, *QUICK)
    done = cli("recommend", "u3", "--data", data, "--top", "3")
    assert done.code == 0 and "\x1b" not in done.err
    assert done.err.count("Red and two lines") == 3
