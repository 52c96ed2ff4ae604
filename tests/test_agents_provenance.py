"""What showed a user's words, and what was written from them, read off a ledger."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from agents.provenance import Words, written_from
from errors import StoreError
from prompts.library import FOLDER
from stores.batches import Batches
from stores.ledger import Ledger
from stores.purge import purge
from stores.rows import Outcome, digest
from tests.test_stores_batches import BATCH, LINE
from tests.test_stores_ledger import CALL

REVIEW = "It broke on the second day. I had told them so. A hinge of tin is not a hinge."
WORDS = Words(frozenset({"user:u"}), frozenset({("item:a", REVIEW)}), frozenset())
SHIPPED = (FOLDER / "item_profile.md").read_text("utf-8")
BARE = SHIPPED.replace('{{ review.text | data("review") }}', "{{ review.text }}")


class Written:
    """A ledger in which nodes are asked and answered, one by one."""

    def __init__(self, path):
        self.path = path
        self.ids = 0

    def asked(self, node, hop, body, text="", template=SHIPPED, run="r", **more):
        self.ids += 1
        key, prompt = f"k{self.ids}", f"p@1:{digest(template)[:12]}"
        messages = (("system", "Describe, between ⟦ and ⟧."), ("user", body))
        call = replace(CALL, key=key, node=node, hop=hop, messages=messages, prompt=prompt, **more)
        outcome = Outcome(node, hop, "written", 1, "", prompt, "m", text, key)

        async def write(ledger):
            await ledger.begin_run(f"{run}{self.ids}", 1.0, {}, [template])
            await ledger.record(call)
            if text:
                await ledger.settle(run, [outcome])

        with Ledger(self.path) as ledger:
            asyncio.run(write(ledger))
        return self.ids

    def found(self, words=WORDS):
        with closing(sqlite3.connect(self.path)) as db:
            return written_from(db, words)


@pytest.fixture
def ledger(tmp_path):
    return Written(tmp_path / "l.sqlite")


def test_words_are_followed_from_a_review_through_profiles_to_every_hop(ledger):
    first = ledger.asked("item:a", 0, f"Reviews:\n- ⟦review: {REVIEW}⟧", "Not for the hasty.")
    second = ledger.asked(
        "user:v", 0, "⟦title: A⟧ ⟦description: Not for the hasty.⟧", "Is careful."
    )
    third = ledger.asked(
        "item:b", 1, "⟦description: B.⟧ ⟦user: Is careful.⟧", "B.\n\nFor the careful."
    )
    ledger.asked("item:b", 0, "⟦title: B⟧ ⟦review: Fine.⟧", "B.")
    ledger.asked("user:w", 1, "⟦description: W.⟧ ⟦item: B.⟧", "W, and more.")
    found = ledger.found()
    assert found.calls == {first, second, third}
    assert found.outcomes == {("r", "item:a", 0), ("r", "user:v", 0), ("r", "item:b", 1)}


def test_a_text_that_was_cut_or_tidied_is_known_by_its_beginning(ledger):
    cut = ledger.asked("item:a", 0, "⟦review: It broke on the second day. I had told […]⟧", "x")
    ledger.asked("item:a", 0, "⟦review: It broke on the third day. I had told […]⟧", "y")
    spaced = WORDS.reviews | {("item:b", "Two\nlines\u200b  of it")}
    tidied = ledger.asked("item:b", 0, "⟦review: Two lines of it⟧", "z")
    assert ledger.found(replace(WORDS, reviews=spaced)).calls == {cut, tidied}


def test_the_same_words_about_another_item_are_somebody_elses(ledger):
    ledger.asked("item:b", 0, f"⟦review: {REVIEW}⟧", "x")
    assert not ledger.found().calls


def test_every_question_about_the_user_counts_and_what_stays_above_it(ledger):
    own = ledger.asked("user:u", 0, "⟦title: A⟧", "Likes A.")
    heard = ledger.asked("item:c", 1, "⟦description: C.⟧ ⟦user: Likes A.⟧", "C.")
    replayed = ledger.asked("user:u", 0, "⟦title: A⟧", run="replay", stage="replay")
    assert ledger.found().calls == {own, heard, replayed}


def test_items_of_reviews_that_nobody_knows_any_more_count_without_a_look(ledger):
    past = ledger.asked("item:p", 0, "⟦review: Something that was edited since.⟧", "x")
    assert ledger.found(replace(WORDS, past=frozenset({"item:p"}))).calls == {past}
    assert not ledger.found().calls


def test_of_a_prompt_that_shows_texts_without_a_fence_every_question_counts(ledger):
    bare = ledger.asked("item:z", 0, "- anything at all", "x", BARE)
    ledger.asked("item:y", 0, "- ⟦review: anything at all⟧", "y")
    assert ledger.found().calls == {bare}


def test_an_older_ledger_that_does_not_say_what_a_text_answers_is_followed_by_node(ledger):
    ledger.asked("item:a", 0, f"⟦review: {REVIEW}⟧", "Not for the hasty.")
    later = ledger.asked("user:v", 0, "⟦description: Not for the hasty.⟧", "Is careful.")
    with closing(sqlite3.connect(ledger.path)) as db, db:
        db.execute("DELETE FROM answered")
    assert later in ledger.found().calls


def test_a_question_in_a_batch_counts_and_an_open_batch_is_not_forgotten_around(tmp_path):
    line = replace(LINE, node="item:a", messages=(("user", f"⟦review: {REVIEW}⟧"),))

    async def intended(ledger):
        await Batches(ledger).intend(BATCH, [line, replace(LINE, key="k2")])

    with Ledger(tmp_path / "l.sqlite") as ledger:
        asyncio.run(intended(ledger))
    found = Written(tmp_path / "l.sqlite").found()
    assert found.lines == {("n1", "k1")}
    with pytest.raises(StoreError, match="n1 holds such a question and is still open"):
        purge(tmp_path / "l.sqlite", found.calls, found.outcomes, found.lines)
    with closing(sqlite3.connect(tmp_path / "l.sqlite")) as db, db:
        db.execute("UPDATE batches SET harvested = 1")
    purge(tmp_path / "l.sqlite", found.calls, found.outcomes, found.lines)
    assert REVIEW.encode() not in (tmp_path / "l.sqlite").read_bytes()
    with closing(sqlite3.connect(tmp_path / "l.sqlite")) as db:
        assert db.execute("SELECT key FROM batch_lines").fetchall() == [("k2",)]


def test_a_text_that_another_row_names_stays(ledger):
    gone = ledger.asked("item:a", 0, f"⟦review: {REVIEW}⟧", "Said of both.")
    ledger.asked("item:b", 0, "⟦review: Fine.⟧", "Said of both.")
    found = ledger.found()
    assert found.calls == {gone}
    purge(ledger.path, found.calls, found.outcomes, found.lines)
    with closing(sqlite3.connect(ledger.path)) as db:
        left = {body for (body,) in db.execute("SELECT body FROM texts")}
    assert left >= {"Said of both.", "⟦review: Fine.⟧", SHIPPED} and not any(
        REVIEW in b for b in left
    )
