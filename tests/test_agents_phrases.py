"""Parts of the extractive writer: which phrases are telling, which sentences are quoted."""

import yake

from agents.extractive import _at_a_glance, keyphrases, select


def test_a_phrase_of_judging_words_is_no_keyphrase():
    assert keyphrases(["Great product. Really good quality. Highly recommend."], 5) == []


def test_no_keyphrase_is_part_of_a_better_one():
    found = keyphrases(["A warm vintage tone.", "The vintage tone is warm.", "Warm tone."], 8)
    better = [(found[place], later) for place in range(len(found)) for later in found[place + 1 :]]
    assert not [pair for pair in better if set(pair[1].split()) <= set(pair[0].split())]


def test_every_keyphrase_brings_a_word_and_repeats_no_pair_of_words():
    told = "Phosphor bronze strings. Bronze strings NANOWEB. Strings NANOWEB coating. NANOWEB."
    found = [set(phrase.casefold().split()) for phrase in keyphrases([told] * 2, 8)]
    assert len(found) > 1
    for place, kinds in enumerate(found):
        before = found[:place]
        assert not kinds <= set().union(*before)
        assert all(len(kinds & others) < 2 for others in before)


def test_sentences_are_chosen_for_the_phrases_they_add():
    texts = [
        "The case is red and it is sturdy. A warm tone comes out of this box."
        " The warm tone and a red case are what I paid for. Nothing else to say about this."
    ]
    assert select(texts, ["warm tone", "red case"], 2) == [
        "The warm tone and a red case are what I paid for."
    ]


def test_fragments_questions_and_endless_sentences_are_not_quoted():
    endless = "This warm tone " + "and " * 30 + "so on."
    assert select(["A warm tone.", "Is this a warm tone too?", endless], ["warm tone"], 2) == []


def test_pairs_are_told_apart_at_a_glance_as_yake_tells_them_apart():
    extractor = yake.KeywordExtractor(lan="en", n=3)
    slow, fast = extractor.dedup_function, _at_a_glance(extractor.dedup_function)
    phrases = ["a", "A", "ab", "abc", "abd", "abcd", "warm tone", "warm tones", "Warm tone"]
    phrases += ["vintage", "vintage tone", "tone", "tune", "warm red tone", "w", "wide tone"]
    assert {(one, two): fast(one, two) for one in phrases for two in phrases} == {
        (one, two): slow(one, two) for one in phrases for two in phrases
    }
