"""The bundled sample is what its generator says it is, and looks like readers wrote it."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[1] / "examples"
SAMPLE = EXAMPLES / "sample"
TRUTH = EXAMPLES / "sample_truth.json"


def read(name: str) -> list[dict]:
    # Not splitlines(): a review may hold characters that it takes for line ends.
    text = (SAMPLE / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


@pytest.fixture(scope="module")
def rows():
    return read("interactions")


@pytest.fixture(scope="module")
def items():
    return read("items")


@pytest.fixture(scope="module")
def truth():
    return json.loads(TRUTH.read_text(encoding="utf-8"))


def test_the_generator_reproduces_the_committed_files_byte_for_byte(tmp_path):
    made = tmp_path / "sample"
    script = EXAMPLES / "make_sample.py"
    subprocess.run([sys.executable, script, "--out", made, "--seed", "0"], check=True)
    for committed in [*sorted(SAMPLE.iterdir()), TRUTH]:
        fresh = tmp_path / committed.relative_to(EXAMPLES)
        assert fresh.read_bytes() == committed.read_bytes(), committed.name
    assert {path.name for path in made.iterdir()} == {path.name for path in SAMPLE.iterdir()}


def test_another_seed_gives_other_interactions(tmp_path):
    script = EXAMPLES / "make_sample.py"
    subprocess.run([sys.executable, script, "--out", tmp_path / "s", "--seed", "1"], check=True)
    fresh = (tmp_path / "s" / "interactions.jsonl").read_bytes()
    assert fresh != (SAMPLE / "interactions.jsonl").read_bytes()


def test_the_sample_has_the_promised_size(rows, items):
    assert len(read("users")) == 200
    assert len(items) == 150
    assert 2000 <= len(rows) <= 2400
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 1_500_000


def test_every_user_has_five_interactions_and_every_item_four(rows, items):
    by_user = Counter(row["user_id"] for row in rows)
    by_item = Counter(row["item_id"] for row in rows)
    assert len(by_user) == 200 and min(by_user.values()) >= 5
    assert len(by_item) == len(items) and min(by_item.values()) >= 4


def test_every_interaction_joins_a_known_user_and_item_once(rows, items):
    pairs = [(row["user_id"], row["item_id"]) for row in rows]
    assert len(set(pairs)) == len(pairs)
    assert {user for user, _ in pairs} <= {user["user_id"] for user in read("users")}
    assert {item for _, item in pairs} <= {item["item_id"] for item in items}


def test_ratings_and_timestamps_are_in_range(rows):
    assert {row["rating"] for row in rows} == {1, 2, 3, 4, 5}
    stamps = [row["timestamp"] for row in rows]
    assert stamps == sorted(stamps)
    assert 600 * 86400 < stamps[-1] - stamps[0] <= 2 * 365 * 86400


def test_two_in_five_items_have_no_description(items):
    share = sum(item["description"] is None for item in items) / len(items)
    assert share == pytest.approx(0.40, abs=0.03)


def test_about_one_item_in_ten_has_a_noisy_description(items):
    spotless = re.compile(r"[A-Z].*[.?]$", re.DOTALL)
    marks = re.compile(r"&\w+;|<\w+|\*\*\*|[A-Z]{4,} [A-Z]{2,}|ISBN|SKU|unputdownable")
    texts = [item["description"] for item in items if item["description"]]
    noisy = [text for text in texts if marks.search(text) or not spotless.match(text)]
    assert len(noisy) / len(items) == pytest.approx(0.10, abs=0.03)


def test_most_interactions_have_a_review_and_half_of_those_a_headline(rows):
    reviews = [row for row in rows if row["review"]]
    assert len(reviews) / len(rows) == pytest.approx(0.85, abs=0.03)
    headlines = sum(row["summary"] is not None for row in reviews)
    assert headlines / len(reviews) == pytest.approx(0.5, abs=0.06)
    assert all(row["summary"] is None for row in rows if row["review"] is None)


def test_exact_duplicate_reviews_are_rare(rows):
    reviews = [row["review"] for row in rows if row["review"]]
    assert 1 - len(set(reviews)) / len(reviews) < 0.01


def test_no_sentence_is_heard_too_often(rows):
    text = [row["review"] for row in rows if row["review"]]
    sentences = Counter(part for review in text for part in re.split(r"(?<=[.!?]) ", review))
    assert max(sentences.values()) <= 20
    assert len(sentences) > 0.6 * sum(sentences.values())


def test_no_template_syntax_is_left_in_any_text(rows, items):
    texts = [row[key] or "" for row in rows for key in ("review", "summary")]
    texts += [item["description"] or "" for item in items]
    assert not [text for text in texts if re.search(r"[{}\[\]|]| [,.!?]|  ", text)]


def test_interactions_follow_the_planted_interests_far_above_chance(rows, truth):
    def share(pairs):
        return sum(truth["items"][i]["main"] in truth["users"][u] for u, i in pairs) / len(pairs)

    chance = share([(user, item) for user in truth["users"] for item in truth["items"]])
    assert share([(row["user_id"], row["item_id"]) for row in rows]) > 3 * chance


def test_matching_books_are_rated_higher(rows, truth):
    inside, outside = [], []
    for row in rows:
        match = truth["items"][row["item_id"]]["main"] in truth["users"][row["user_id"]]
        (inside if match else outside).append(row["rating"])
    assert sum(inside) / len(inside) > sum(outside) / len(outside) + 0.8


def test_reviews_use_the_words_of_the_books_interest(rows, truth):
    def share(shift):
        names = list(truth["interests"])
        hits = 0
        for row in (row for row in rows if row["review"]):
            main = truth["items"][row["item_id"]]["main"]
            name = names[(names.index(main) + shift) % len(names)]
            words = truth["interests"][name]["words"]
            hits += any(word in row["review"].lower() for word in words)
        return hits / len(rows)

    assert share(0) > 2 * share(5)


def test_the_truth_names_every_user_item_and_interest(items, truth):
    assert 12 <= len(truth["interests"]) <= 16
    assert set(truth["items"]) == {item["item_id"] for item in items}
    assert set(truth["users"]) == {user["user_id"] for user in read("users")}
    for weights in truth["users"].values():
        assert 2 <= len(weights) <= 3 and sum(weights.values()) == pytest.approx(1)
        assert set(weights) <= set(truth["interests"])


def test_the_truth_lies_outside_the_data_folder(truth):
    assert sorted(path.name for path in SAMPLE.iterdir()) == [
        "dataset.yaml",
        "interactions.jsonl",
        "items.jsonl",
        "users.jsonl",
    ]
    assert not {"main", "side", "interest", "weights"} & set().union(*read("items"), *read("users"))
    header = yaml.safe_load((SAMPLE / "dataset.yaml").read_text(encoding="utf-8"))
    assert header == {"domain": "book", "language": "English"}


@pytest.mark.parametrize(
    ("kind", "mark"),
    [
        ("injection", "Ignore all previous instructions"),
        ("advert", "https://"),
        ("control characters", "\u202e"),
        ("spanish", "hermana"),
        ("chinese", "推荐"),
        ("arabic", "القراءة"),
    ],
)
def test_the_awkward_review_is_where_the_truth_says(rows, truth, kind, mark):
    place = next(row for row in truth["awkward"] if row["kind"] == kind)
    key = (place["user"], place["item"])
    found = [row["review"] for row in rows if (row["user_id"], row["item_id"]) == key]
    assert len(found) == 1 and mark in found[0]
