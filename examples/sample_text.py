"""How the sample's readers talk: fragments in, reviews and item descriptions out.

A fragment is one line such as `{Good|Fine} book, read it for [detail].`: braces hold
alternatives and may nest, square brackets name a slot that is filled afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import yaml

WORDS = Path(__file__).with_name("sample_words")
Fields = dict[str, Any]
"""A book, a user, a pool of fragments: values by name."""

INNERMOST = re.compile(r"\{([^{}]*)\}")
SLOT = re.compile(r"\[(\w+)\]")
KEEP_CAPITAL = re.compile(r"(I|I'm|Latin|Einstein|[A-Z]{2,})\b")
SHORT_FORMS = {
    "do not": "don't", "does not": "doesn't", "did not": "didn't", "is not": "isn't",
    "was not": "wasn't", "could not": "couldn't", "would not": "wouldn't", "cannot": "can't",
    "will not": "won't", "have not": "haven't", "I am ": "I'm ", "I have read": "I've read",
    "It is ": "It's ", "and it is ": "and it's ", "That is ": "That's ", "There is ": "There's ",
    "there is ": "there's ", "I would ": "I'd ", "I will ": "I'll ", "I had been": "I'd been",
}  # fmt: skip


class Deck:
    """Deals its cards in shuffled order, so no fragment is overused before all were dealt."""

    def __init__(self, cards: Iterable[str], rng: Random) -> None:
        self.cards, self.rng = list(cards), rng
        self.left: list[str] = []

    def deal(self, spent: set[str]) -> str:
        """The next card that is not spent; when all are, simply the next one."""
        if len(self.left) < len(self.cards):
            again = self.cards[:]
            self.rng.shuffle(again)
            self.left += again
        pick = next((n for n, card in enumerate(self.left) if card not in spent), 0)
        card = self.left.pop(pick)
        spent.add(card)
        return card


@dataclass
class Reader:
    """What makes one user's reviews sound like the same person."""

    voice: str
    background: str
    usual: str
    short_forms: bool
    lower_case: bool
    typos: bool
    spent: set[str] = field(default_factory=set)


def lines(block: str) -> list[str]:
    return [line.strip() for line in block.splitlines() if line.strip()]


def load(name: str) -> Fields:
    """One fragment file; every block of text becomes a list of its lines."""
    raw = yaml.safe_load((WORDS / f"{name}.yaml").read_text(encoding="utf-8"))
    return {key: lines(value) if "\n" in str(value) else value for key, value in raw.items()}


def load_voices() -> dict[str, Fields]:
    raw = yaml.safe_load((WORDS / "readers.yaml").read_text(encoding="utf-8"))
    return {
        voice: {
            key: lines(value) if isinstance(value, str) else value for key, value in pool.items()
        }
        for voice, pool in raw.items()
    }


def spin(text: str, rng: Random) -> str:
    """Choose one alternative in every pair of braces, innermost first."""
    while match := INNERMOST.search(text):
        choice = rng.choice(match[1].split("|"))
        text = text[: match.start()] + choice + text[match.end() :]
    return text


def fill(text: str, slots: dict[str, str]) -> str:
    return SLOT.sub(lambda match: slots[match[1]], text)


def upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def lower_first(text: str) -> str:
    return text if KEEP_CAPITAL.match(text) else text[:1].lower() + text[1:]


class Writer:
    """Writes reviews, headlines and descriptions from the fragments of all interests."""

    def __init__(self, interests: dict[str, Fields], rng: Random) -> None:
        self.rng, self.interests = rng, interests
        self.phrases, self.voices = load("phrases"), load_voices()
        self.decks: dict[str, Deck] = {}

    def deal(self, pool: str, cards: list[str], spent: set[str]) -> str:
        if pool not in self.decks:
            self.decks[pool] = Deck(cards, self.rng)
        return spin(self.decks[pool].deal(spent), self.rng)

    def phrase(self, pool: str, spent: set[str]) -> str:
        return self.deal(pool, self.phrases[pool], spent)

    def about(self, interest: str, pool: str, spent: set[str]) -> str:
        return self.deal(f"{interest}/{pool}", self.interests[interest][pool], spent)

    def said(self, reader: Reader, pool: str) -> str:
        """An opening or closing; now and then a plain one, so a voice isn't a mask."""
        voice = "plain" if self.rng.random() < 0.2 else reader.voice
        return self.deal(f"{voice}/{pool}", self.voices[voice][pool], reader.spent)

    def review(self, reader: Reader, book: Fields, tone: str, tastes: Fields) -> str:
        """One to five sentences on a book; tone is good, mixed or bad."""
        slots = self.slots(reader, book)
        body = self.body(reader, book, tone, tastes)
        if self.rng.random() < 0.55:
            body.insert(0, self.said(reader, f"open_{tone}"))
        if self.rng.random() < 0.42:
            body.append(self.said(reader, f"close_{tone}"))
        if self.rng.random() < 0.05:
            body.append(self.phrase("goods_good" if tone == "good" else "goods_bad", reader.spent))
        text = " ".join(upper_first(fill(sentence, slots)) for sentence in body[:5])
        return self.mannerism(reader, text)

    def body(self, reader: Reader, book: Fields, tone: str, tastes: Fields) -> list[str]:
        """The sentences about the book itself."""
        spent, main = reader.spent, book["main"]
        wanted = max(1, self.voices[reader.voice]["hunger"] + self.rng.choice((-1, 0, 0, 1)))
        if tone == "mixed":
            if wanted == 1:
                return [self.frame(self.rng.choice(("detail", "topic")), tone, book, spent)]
            gripe = lower_first(self.about(main, "gripes", spent))
            return [self.about(main, "praises", spent), f"{self.phrase('turn', set())} {gripe}"]
        plain = "praises" if tone == "good" else "gripes"
        sentences = [self.about(main, plain, spent)]
        frames = self.frame_kinds(tone, book)
        while len(sentences) < wanted:
            if not frames or self.rng.random() < 0.3:
                sentences.append(self.about(main, plain, spent))
            else:
                sentences.append(self.frame(frames.pop(), tone, book, spent))
        self.rng.shuffle(sentences)
        return self.about_me(reader, main, tastes) + sentences

    def about_me(self, reader: Reader, main: str, tastes: Fields) -> list[str]:
        """Sometimes a reader says who is speaking, at home in this interest or far from it."""
        chance = self.rng.random()
        if main not in tastes and chance < 0.35:
            return [self.phrase("usual", reader.spent)]
        if main == next(iter(tastes)) and chance < 0.15 and reader.background not in reader.spent:
            reader.spent.add(reader.background)
            return [f"{reader.background}."]
        return []

    def frame_kinds(self, tone: str, book: Fields) -> list[str]:
        """The kinds of framed sentence in the order this review would use them, each once."""
        weights = {"detail": 5, "topic": 3, "compare": 1}
        if tone == "good":
            # A novel has no facts to teach, but things that come out.
            fiction = self.interests[book["main"]]["kind"] == "story"
            weights["secret" if fiction else "fact"] = 3
        if book["side"]:
            weights["side"] = 3
        return sorted(weights, key=lambda kind: self.rng.random() ** (1 / weights[kind]))

    def frame(self, kind: str, tone: str, book: Fields, spent: set[str]) -> str:
        """One framed sentence: about a detail of this book, a topic, a fact, another book."""
        text = self.phrase(f"{kind}_{tone}", spent)
        where = book["side"] if kind == "side" else book["main"]
        if "[topic]" in text:
            text = text.replace("[topic]", self.about(where, "topics", set()))
        if "[fact]" in text:
            text = text.replace("[fact]", self.about(where, "facts", spent))
        return text

    def slots(self, reader: Reader, book: Fields) -> dict[str, str]:
        surname = book["author"].split()[-1]
        return {
            "title": book["title"],
            "author": self.rng.choice((book["author"], surname)),
            "detail": book["detail"],
            "usual": reader.usual,
            "other": self.rng.choice(book["others"]),
        }

    def headline(self, reader: Reader, book: Fields, tone: str) -> str:
        """A summary line, sometimes with the interest in it."""
        if tone == "good" and self.rng.random() < 0.3:
            # The last headline of an interest is its unkind one.
            cards = self.interests[book["main"]]["headlines"][:2]
            text = self.deal(f"{book['main']}/headlines", cards, set())
        else:
            text = self.phrase(f"headline_{tone}", set())
        text = fill(text, self.slots(reader, book))
        return text.lower() if reader.lower_case else text

    def mannerism(self, reader: Reader, text: str) -> str:
        """The reader's own habits of spelling."""
        if reader.short_forms:
            for long, short in SHORT_FORMS.items():
                text = text.replace(long, short)
        if reader.typos and self.rng.random() < 0.4:
            text = self.slip(text)
        if reader.lower_case:
            text = text.lower().rstrip(".")
        return text

    def slip(self, text: str) -> str:
        """One mild typing error: two letters swapped, or one dropped."""
        words = text.split(" ")
        long = [n for n, word in enumerate(words) if len(word) > 5 and word.isalpha()]
        if not long:
            return text
        n = self.rng.choice(long)
        at = self.rng.randrange(2, len(words[n]) - 2)
        word = words[n]
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        words[n] = self.rng.choice((swapped, word[:at] + word[at + 1 :]))
        return " ".join(words)

    def description(self, book: Fields) -> str:
        """Two to four good sentences by the publisher."""
        main, slots = book["main"], self.book_slots(book)
        text = [book["premise"], self.about(main, "blurbs", set())]
        if self.rng.random() < 0.35:
            text.append(self.about(main, "blurbs", set(text)))
        if book["side"] and self.rng.random() < 0.7:
            text.append(self.phrase("blurb_side", set()))
        if self.rng.random() < 0.4:
            text.append(self.phrase("blurb_close", set()))
        return " ".join(upper_first(fill(sentence, slots)) for sentence in text[:4])

    def noise(self, book: Fields) -> str:
        """What catalogues really contain instead of a description."""
        text = fill(self.phrase("noise", set()), self.book_slots(book))
        return text.removeprefix("SHOUT:").upper() if text.startswith("SHOUT:") else text

    def book_slots(self, book: Fields) -> dict[str, str]:
        blurb = self.about(book["main"], "blurbs", set())
        topic = self.about(book["side"] or book["main"], "topics", set())
        return {
            "title": book["title"],
            "author": book["author"],
            "year": str(book["year"]),
            "item": book["item_id"].upper(),
            "premise": book["premise"],
            "blurb": blurb,
            "cut": blurb[: len(blurb) // 2].rstrip(),
            "topic": topic,
            "other": self.rng.choice(book["others"]),
        }
