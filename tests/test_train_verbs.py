"""The verbs of training as a user runs them: real processes, real Chroma."""

import json

import numpy as np
import pytest

from stores.arrays import load_arrays
from stores.descriptions import Descriptions, row_of
from stores.rows import Outcome
from tests.worlds import make
from verbs.learning import Ground, stored_text

CUTOFFS = [f"{name}@{k}" for name in ("recall", "ndcg") for k in (5, 10, 20)]
QUICK = ("--epochs", "7", "--batch", "64", "--json")


def text_file(path, users=30, items=20, width=8, seed=0):
    """Text embeddings for a world of `make`, as `--embeddings` takes them."""
    random = np.random.default_rng(seed)
    np.savez(
        path,
        user_ids=np.array([f"u{n}" for n in range(users)]),
        users=random.normal(size=(users, width)).astype(np.float32),
        item_ids=np.array([f"i{n}" for n in range(items)]),
        items=random.normal(size=(items, width)).astype(np.float32),
    )
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("trained")


def test_training_aligns_with_the_text_that_refine_wrote(cli, far_side, tmp_path):
    data, workspace, far = make(tmp_path / "data"), tmp_path / "ws", far_side()
    model = ["--model", f"openai:far@{far.url}", "--embedder", f"openai:far@{far.url}"]
    place = ["--data", data, "--workspace", workspace]
    assert cli("refine", "--hops", "1", *place, *model).code == 0
    done = cli("train", "--align", "contrastive", *place, *QUICK)
    assert done.code == 0, done.err
    summary = done.summary
    assert (summary["backbone"], summary["align"], summary["hop"]) == (
        "lightgcn", "contrastive", "hop1",
    )  # fmt: skip
    assert list(summary["test"]) == CUTOFFS
    assert all(0 <= value <= 1 for value in summary["test"].values())
    folder = tmp_path / "home" / summary["run"]
    assert (folder / "curves.png").stat().st_size > 5000
    assert list(folder.glob("seed-0/events.*"))
    for hop, label in (("0", "hop0"), ("all", "all")):
        again = cli("train", "--align", "fusion", "--hop", hop, *place, *QUICK)
        assert again.summary["hop"] == label, again.err
    missing = cli("train", "--align", "fusion", "--hop", "5", *place, *QUICK)
    assert missing.code == 2 and "has hops 0, 1" in missing.err


def test_training_without_text_needs_no_refine_before(cli, tmp_path):
    done = cli("train", "--data", make(tmp_path / "data"), "--backbone", "gccf", *QUICK)
    assert done.code == 0, done.err
    assert done.summary["align"] == "none" and done.summary["cold"] == {}


def test_text_may_come_from_a_file(cli, tmp_path):
    file = text_file(tmp_path / "text.npz")
    done = cli(
        *("train", "--data", make(tmp_path / "data"), "--align", "generative"),
        *("--embeddings", file, *QUICK),
    )
    assert done.code == 0, done.err
    assert done.summary["hop"] == "file"


def test_several_seeds_are_summed_up_and_tested_against_the_run_without_text(cli, tmp_path):
    place = ["--data", make(tmp_path / "data"), "--seeds", "3"]
    base = cli("train", *place, *QUICK).summary
    assert base["seeds"] == [0, 1, 2] and base["against_none"] == {}
    assert set(base["test_std"]) == set(CUTOFFS)
    file = text_file(tmp_path / "text.npz")
    done = cli("train", *place, "--align", "contrastive", "--embeddings", file, *QUICK)
    against = done.summary["against_none"]
    assert against["run"] == base["run"] and against["same_backbone_settings"] is True
    for name in CUTOFFS:
        gain = 100 * (done.summary["test"][name] / base["test"][name] - 1)
        assert against[name]["gain_percent"] == pytest.approx(gain)
        assert 0 <= against[name]["p"] <= 1


def test_what_was_trained_is_not_trained_again(cli, tmp_path):
    place = ["--data", make(tmp_path / "data")]
    first = cli("train", *place, *QUICK)
    assert "epoch    6" in first.err
    again = cli("train", *place, *QUICK)
    assert "epoch    6" not in again.err
    assert again.summary["test"] == first.summary["test"]
    fresh = cli("train", *place, "--fresh", *QUICK)
    assert "epoch    6" in fresh.err and fresh.summary["test"] == first.summary["test"]


def test_a_longer_training_goes_its_own_way(cli, tmp_path):
    place = ["--data", make(tmp_path / "data"), "--json", "--batch", "64"]
    short, longer = (cli("train", *place, "--epochs", n).summary for n in ("1", "4"))
    assert short["run"] != longer["run"]


def test_the_control_gets_other_nodes_texts(cli, tmp_path):
    place = ["--data", make(tmp_path / "data"), "--align", "contrastive", "--weight", "1"]
    place += ["--embeddings", text_file(tmp_path / "text.npz")]
    real, control = (cli("train", *place, *QUICK, *flag).summary for flag in ([], ["--shuffled"]))
    assert control["shuffled"] is True and real["run"] != control["run"]
    assert real["val"] != control["val"]


def test_tuning_chooses_weight_and_temperature_on_validation(cli, tmp_path):
    done = cli(
        *("train", "--data", make(tmp_path / "data"), "--align", "contrastive", "--tune"),
        *("--embeddings", text_file(tmp_path / "text.npz"), *QUICK),
    )
    assert done.err.count("tried weight") == 9
    chosen = json.loads((tmp_path / "home" / done.summary["run"] / "run.json").read_text())
    options = chosen["settings"]["align_options"]
    words = f"chosen: weight {options['weight']:g}, temperature {options['temperature']:g}"
    assert words in done.err


@pytest.mark.parametrize("what", ["pop", "ease"])
def test_baselines_need_neither_text_nor_training(cli, tmp_path, what):
    done = cli("evaluate", what, "--data", make(tmp_path / "data"), "--json")
    assert done.code == 0, done.err
    assert list(done.summary["test"]) == CUTOFFS


def test_a_run_is_evaluated_as_it_was_when_it_was_trained(cli, tmp_path):
    place = ["--data", make(tmp_path / "data")]
    trained = cli("train", *place, *QUICK).summary
    name = trained["run"].rpartition("/")[2]
    found = cli("evaluate", name, *place, "--json").summary
    assert found["test"] == pytest.approx(trained["test"])
    masked = cli("evaluate", name, *place, "--mask-val", "--json").summary
    assert masked["test"] != found["test"]


def test_recommendations_are_new_to_the_user_and_in_order(cli, tmp_path):
    data = make(tmp_path / "data")
    place = ["--data", data]
    cli("train", *place, *QUICK)
    done = cli("recommend", "u3", *place, "--top", "20", "--json")
    scores = [one["score"] for one in done.summary["items"]]
    assert scores == sorted(scores, reverse=True)
    trained = {one["id"] for one in done.summary["items"]}
    taken = {i for u, i in training_pairs(data, tmp_path) if u == "u3"}
    assert trained and not trained & taken
    assert trained | taken == {f"i{n}" for n in range(20)}


def test_similar_items_leave_out_the_item_itself(cli, tmp_path):
    place = ["--data", make(tmp_path / "data")]
    cli("train", *place, *QUICK)
    done = cli("similar", "i4", *place, "--top", "5", "--json")
    names = [one["id"] for one in done.summary["items"]]
    assert len(names) == 5 and "i4" not in names


def test_an_explanation_leads_through_the_training_graph(cli, tmp_path):
    data = make(tmp_path / "data")
    place = ["--data", data]
    cli("train", *place, *QUICK)
    pairs = training_pairs(data, tmp_path)
    best = cli("recommend", "u3", *place, "--top", "1", "--json").summary["items"][0]["id"]
    found = cli("explain", "u3", best, *place, "--json").summary
    assert found["rank"] == 1 and found["taken"] is False
    assert {("u3", one["id"]) for one in found["nearest"]} <= pairs
    for path in found["paths"]:
        user, liked, other, item = [
            node.partition(":")[2].partition(" ")[0] for node in path["nodes"]
        ]
        assert (user, item) == ("u3", best)
        assert {(user, liked), (other, liked), (other, item)} <= pairs


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "--backbone", "lightgnc"], "lightgcn, gccf"),
        (["train", "--align", "contrast"], "contrastive"),
        (["train", "--preset", "papers"], "matched"),
        (["train", "--preset", "paper"], "paper:amazon"),
        (["train", "--align", "contrastive"], "python cli.py refine"),
        (["train", "--align", "fusion", "--weight", "1"], "no weight"),
        (["train", "--shuffled"], "--align contrastive"),
        (["train", "--tune"], "contrastive, generative"),
        (["train", "--hop", "1"], "--hop is for an alignment"),
        (["train", "--embeddings", "text.npz"], "--embeddings is for an alignment"),
        (["train", "--align", "contrastive", "--tune", "--weight", "1"], "leave --weight"),
        (["train", "--align", "contrastive", "--temperature", "inf"], "finite"),
        (["train", "--align", "contrastive", "--hop", "²"], "refine"),
        (["train", "--fanout", "99999999999999999999,2,1"], "from 1 to 1,000,000"),
        (["train", "--device", "meta"], "--device auto"),
        (["train", "--device", "cuda:7"], "--device auto"),
        (["train", "--align", "contrastive", "--embeddings", "nowhere.npz"], "nowhere.npz"),
        (["train", "--align", "fusion", "--hop", "1", "--embeddings", "x.npz"], "leave it or"),
        (["evaluate", "lightgcn"], "none yet"),
        (["evaluate", "pop", "--hop", "1"], "--hop is for evaluate text"),
        (["evaluate", "text", "--hop", "all"], "hop by hop"),
        (["evaluate", "pop", "--penalty", "1"], "--penalty is for evaluate ease"),
        (["evaluate", "ease", "--penalty", "inf"], "finite"),
        (["recommend", "u3"], "python cli.py train"),
    ],
)
def test_what_cannot_be_trained_is_told_in_one_message_with_exit_2(cli, tmp_path, words, told):
    done = cli(*words, "--data", make(tmp_path / "data"))
    assert done.code == 2
    assert told in done.err and "Traceback" not in done.err


def test_a_verb_that_looks_makes_no_workspace(cli, tmp_path):
    place = ["--data", make(tmp_path / "data"), "--workspace", tmp_path / "mistyped"]
    for words in (["recommend", "u3"], ["similar", "i1"], ["explain", "u3", "i1"]):
        done = cli(*words, *place)
        assert done.code == 2 and "is no workspace" in done.err
    assert not (tmp_path / "mistyped").exists()


def test_a_refused_training_leaves_no_run(cli, tmp_path):
    place = ["--data", make(tmp_path / "data"), "--workspace", tmp_path / "ws"]
    assert cli("train", *place, "--fanout", "3,2").code == 2
    assert cli("train", *place, "--fanout", "3,2,1", "--backbone", "sgl").code == 2
    assert not (tmp_path / "ws" / "runs").exists()


def test_a_node_that_nothing_could_be_said_of_has_no_text_to_train_with(tmp_path):
    data, folder = make(tmp_path / "data"), tmp_path / "ws"
    arrays = load_arrays(data, folder / "split", 0)
    stored = Descriptions(folder / "chroma")
    vectors = np.eye(len(arrays.nodes), dtype=np.float32)
    outcomes = [
        Outcome(node, 0, "written", 1, "", "", "", "" if node == "user:u3" else "Likes tea.")
        for node in arrays.nodes
    ]
    for kind in ("user", "item"):
        mine = [row for row, node in enumerate(arrays.nodes) if node.startswith(kind)]
        stored.write(kind, 0, [row_of(outcomes[row], "r") for row in mine], vectors[mine], "e")
    stored.close()
    text, label = stored_text(Ground(folder, data, arrays), "0", None)
    silent = arrays.nodes.index("user:u3")
    vectors[silent] = 0
    assert label == "hop0" and np.array_equal(text[0], vectors)


def test_unknown_users_and_items_are_told_with_known_ones(cli, tmp_path):
    place = ["--data", make(tmp_path / "data")]
    cli("train", *place, *QUICK)
    for words in (["recommend", "u99"], ["similar", "i99"], ["explain", "u3", "i99"]):
        done = cli(*words, *place)
        assert done.code == 2 and "'" + words[-1] + "'" in done.err and "It has" in done.err


def test_a_damaged_checkpoint_is_told_and_can_be_trained_over(cli, tmp_path):
    place = ["--data", make(tmp_path / "data")]
    folder = tmp_path / "home" / cli("train", *place, *QUICK).summary["run"]
    (folder / "seed-0" / "checkpoint.pt").write_bytes(b"no checkpoint")
    done = cli("train", *place, *QUICK)
    assert done.code == 2 and "--fresh" in done.err
    assert cli("train", *place, "--fresh", *QUICK).code == 0


def training_pairs(data, tmp_path):
    from stores.datasets import read_split

    split_home = tmp_path / "home" / "workspace" / data.name / "split"
    return set(read_split(data, split_home, 0)["train"])
