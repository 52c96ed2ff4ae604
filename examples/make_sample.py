"""Draw the bundled sample: invented readers, invented books, and why they meet.

Every book has a main interest and perhaps a side one; every user has two or three, and
reads mostly inside them. What was planted goes to `<out>_truth.json`, beside the data
folder and never in it, so that no pipeline can read the answers.

    python examples/make_sample.py --out examples/sample --seed 0
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

import yaml
from sample_text import WORDS, Deck, Fields, Reader, Writer, load, spin

USERS, NOISE = 200, 0.15
START, SPAN = 1640995200, 2 * 365 * 86400  # two years from January 2022
NOT_INTERESTS = {"readers", "phrases", "names", "awkward"}


def load_interests() -> dict[str, Fields]:
    names = sorted(path.stem for path in WORDS.glob("*.yaml"))
    return {name: load(name) for name in names if name not in NOT_INTERESTS}


def draw_items(interests: dict[str, Fields], rng: Random) -> list[Fields]:
    """Every book of every interest, in shuffled order, with author, year and side interest."""
    books = [(name, line) for name, pool in interests.items() for line in pool["books"]]
    rng.shuffle(books)
    authors = draw_authors(interests, rng)
    items = []
    for number, (main, line) in enumerate(books, start=1):
        title, premise, detail = line.split(" :: ")
        items.append(
            {
                "item_id": f"b{number:03}",
                "title": title,
                "author": rng.choice(authors[main]),
                "year": 2022 - int(rng.expovariate(0.11)),
                "premise": premise,
                "detail": detail,
                "main": main,
                "side": rng.choice(interests[main]["near"].split()) if rng.random() < 0.6 else None,
                # Quality and fame are apart: a well-known book may still be a poor one.
                "quality": rng.gauss(0, 0.4),
                "fame": 1 / rng.randint(1, len(books)) ** 0.6,
            }
        )
    for item in items:
        item["others"] = [o["title"] for o in items if o["main"] == item["main"] and o is not item]
    return items


def draw_authors(interests: dict[str, Fields], rng: Random) -> dict[str, list[str]]:
    """Some seven authors for each interest; no surname more than twice."""
    names = load("names")
    first = Deck(" ".join(names["first"]).split(), rng)
    last = Deck(" ".join(names["last"]).split(), rng)
    return {
        name: [f"{first.deal(set())} {last.deal(set())}" for _ in range(7)] for name in interests
    }


def describe(items: list[Fields], writer: Writer, rng: Random) -> None:
    """40 % of the books without a description, 10 % with a useless one, the rest well described."""
    order = items[:]
    rng.shuffle(order)
    without, noisy = round(0.4 * len(items)), round(0.1 * len(items))
    for place, item in enumerate(order):
        if place < without:
            item["description"] = None
        elif place < without + noisy:
            item["description"] = writer.noise(item)
        else:
            item["description"] = writer.description(item)


def draw_users(interests: dict[str, Fields], voices: Iterable[str], rng: Random) -> list[Fields]:
    """Users with two or three weighted interests, the first one being the strongest."""
    users = []
    for number in range(1, USERS + 1):
        first = rng.choice(list(interests))
        second = rng.choice(interests[first]["near"].split()) if rng.random() < 0.5 else None
        others = [name for name in interests if name not in (first, second)]
        rng.shuffle(others)
        chosen = ([first, second] if second else [first]) + others
        weights = rng.choice(([0.7, 0.3], [0.6, 0.4], [0.5, 0.3, 0.2], [0.6, 0.25, 0.15]))
        users.append(
            {
                "user_id": f"u{number:03}",
                "member_since": rng.randint(2011, 2021),
                "weights": dict(zip(chosen, weights, strict=False)),
                "degree": min(32, 5 + int(rng.lognormvariate(1.65, 0.7))),
                "drifts": rng.random() < 0.4,
                "mood": rng.gauss(0, 0.25),
                "silence": rng.choice((0.05, 0.1, 0.3)),
                "reader": draw_reader(interests, first, voices, rng),
            }
        )
    return users


def draw_reader(interests: Fields, first: str, voices: Iterable[str], rng: Random) -> Reader:
    care = rng.random()
    return Reader(
        voice=rng.choice(list(voices)),
        background=spin(rng.choice(interests[first]["backgrounds"]), rng),
        usual=rng.choice(interests[first]["topics"]),
        short_forms=rng.random() < 0.55,
        lower_case=care < 0.07,
        typos=care < 0.3,
    )


def pick_item(user: Fields, items: list[Fields], when: float, rng: Random) -> Fields:
    """By interest and fame; `when` runs from 0 to 1, and some users drift to their second love."""
    if rng.random() < NOISE:
        return rng.choices(items, [item["fame"] for item in items])[0]
    wanted = dict(user["weights"])
    if user["drifts"]:
        second = list(wanted)[1]
        wanted[second] *= 0.4 + 2.4 * when
    interest = rng.choices(list(wanted), list(wanted.values()))[0]
    pull = [
        item["fame"] * (1.0 if item["main"] == interest else 0.25 * (item["side"] == interest))
        for item in items
    ]
    return rng.choices(items, pull)[0]


def draw_pairs(
    users: list[Fields], items: list[Fields], rng: Random
) -> dict[tuple[str, str], Fields]:
    """Who met which book and when; every user at least 5 times, every book at least 4."""
    pairs: dict[tuple[str, str], Fields] = {}

    def meet(user: Fields, item: Fields, when: float) -> None:
        stamp = START + int(SPAN * when)
        key = (user["user_id"], item["item_id"])
        pairs.setdefault(key, {"user": user, "item": item, "timestamp": stamp})

    for user in users:
        before = len(pairs)
        while len(pairs) - before < user["degree"]:
            when = rng.random()
            meet(user, pick_item(user, items, when, rng), when)
    for item in items:
        fans = [user for user in users if item["main"] in user["weights"]]
        while sum(item_id == item["item_id"] for _, item_id in pairs) < 4:
            meet(rng.choice(fans), item, rng.random())
    return pairs


def rate(user: Fields, item: Fields, rng: Random) -> int:
    taste = 2.7
    if item["main"] in user["weights"]:
        taste = 4.2
    elif item["side"] in user["weights"]:
        taste = 3.5
    felt: float = taste + item["quality"] + user["mood"] + rng.gauss(0, 0.7)
    return min(5, max(1, round(felt)))


def write_up(pair: Fields, writer: Writer, rng: Random) -> Fields:
    """One row of interactions.jsonl."""
    user, item = pair["user"], pair["item"]
    rating = rate(user, item, rng)
    tone = "good" if rating > 3 else "mixed" if rating == 3 else "bad"
    review = summary = None
    if rng.random() >= user["silence"]:
        review = writer.review(user["reader"], item, tone, user["weights"])
        if rng.random() < 0.5:
            summary = writer.headline(user["reader"], item, tone)
    return {
        "user_id": user["user_id"],
        "item_id": item["item_id"],
        "rating": rating,
        "timestamp": pair["timestamp"],
        "review": review,
        "summary": summary,
    }


def plant_awkward(rows: list[Fields], rng: Random) -> list[Fields]:
    """Put the hostile and foreign reviews over ordinary ones; returns where they lie."""
    texts = yaml.safe_load((WORDS / "awkward.yaml").read_text(encoding="utf-8"))
    places = rng.sample([row for row in rows if row["review"] and row["rating"] >= 4], len(texts))
    for row, text in zip(places, texts, strict=True):
        row["review"], row["summary"] = text["text"], None
    return [
        {"user": row["user_id"], "item": row["item_id"], "kind": text["kind"]}
        for row, text in zip(places, texts, strict=True)
    ]


def draw(seed: int) -> tuple[dict[str, list[Fields]], Fields]:
    """The three tables, and the truth behind them."""
    rng = Random(seed)
    interests = load_interests()
    writer = Writer(interests, rng)
    items = draw_items(interests, rng)
    describe(items, writer, rng)
    users = draw_users(interests, writer.voices, rng)
    met = sorted(draw_pairs(users, items, rng).values(), key=lambda pair: pair["timestamp"])
    rows = [write_up(pair, writer, rng) for pair in met]
    item_keys = ("item_id", "title", "author", "year", "description")
    tables = {
        "interactions": rows,
        "items": [{key: item[key] for key in item_keys} for item in items],
        "users": [{key: user[key] for key in ("user_id", "member_since")} for user in users],
    }
    called = {short: pool["name"] for short, pool in interests.items()}
    truth = {
        "seed": seed,
        "interests": {p["name"]: {"words": p["words"].split(", ")} for p in interests.values()},
        "items": {
            item["item_id"]: {"main": called[item["main"]], "side": called.get(item["side"])}
            for item in items
        },
        "users": {
            user["user_id"]: {called[short]: weight for short, weight in user["weights"].items()}
            for user in users
        },
        "awkward": plant_awkward(rows, rng),
    }
    return tables, truth


def write(out: Path, tables: dict[str, list[Fields]], truth: Fields) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8", newline="\n")
    header = "domain: book\nlanguage: English\n"
    (out / "dataset.yaml").write_text(header, encoding="utf-8", newline="\n")
    text = json.dumps(truth, ensure_ascii=False, indent=1) + "\n"
    out.with_name(f"{out.name}_truth.json").write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the bundled sample.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("sample"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write(args.out, *draw(args.seed))


if __name__ == "__main__":
    main()
