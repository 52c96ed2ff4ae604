"""The extractive writer: a description made of phrases and sentences of the evidence, no LLM.

It is the model `offline` and what every other model falls back to. Keyphrases come from YAKE
(Campos et al. 2020: statistics of one text, no corpus); sentences are chosen greedily by the
phrases they add. The same evidence always gives the same text, in the evidence's own language.
"""

import gc
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from agents.checks import NOTHING, complaint, words
from agents.models.base import Evidence
from agents.orders import instruction_like
from graph_ops.budget import CUT, shorten
from graph_ops.evidence import Chosen, ItemEvidence, RefineEvidence, UserEvidence
from prompts.untrusted import clean, visible

# Words by which reviewers judge rather than describe: a phrase of nothing else tells nothing.
_FILLER = frozenset(
    """
    amazing amazon author awesome back bad best better bit book books bought buy buying came
    cheap day days deal easily end excellent extremely fantastic favorite favourite feel find
    finds fine found full fun game gift give glad good got great half happy hard highly hope
    issue item items job kind line little long looking lot lots love loved loves low made make
    makes minute money month months movie new nice old opinion opinions order ordered page pages
    part people perfect perfectly place pretty price problem problems product products purchase
    purchased put quality read reader real really reason recommend review reviews said set
    several star stars start started stop stuff super sure tell thing things thought time times
    told top totally use used user users uses using well went wonderful work worked working
    works worth write wrong wrote year years
    """.split()
)
_LABELS = (
    "Title", "Known for", "Reviewers mention", "They write", "From its description",
    "Average rating", "About", "Chose", "Drawn to", "In their own words", "Disliked",
    "Those who chose it also look for", "One of them",
    "Common to the chosen", "As one of them puts it",
)  # fmt: skip
# A phrase has a letter and does not run over punctuation.
_PLAIN = re.compile(r"^[^,;:()!?.]*[^\W\d][^,;:()!?.]*$")
_ANY = "|".join(_LABELS)
_LIST = re.compile(rf"({_ANY}): ([^“\n]*?)(?=(?:{_ANY}):|“|\n|$)")
# Lists that tell a neighbour's own facts, or what it does not like: nothing to pass on.
_PRIVATE = frozenset({"About", "Average rating", "Disliked"})
# Words that a title, an attribute or a phrase may have to be listed.
MOST_LISTED = 16


def write(evidence: Evidence, max_words: int) -> str:
    """The text for a node's evidence, or `None` when the evidence says nothing."""
    if isinstance(evidence, ItemEvidence):
        parts = _item_profile(evidence)
    elif isinstance(evidence, UserEvidence):
        parts = _user_profile(evidence)
    else:
        parts = _refinement(evidence)
    text = ""
    for part in parts:
        longer = f"{text} {part}".strip()
        if part and words(longer) <= max_words and not instruction_like(part):
            text = longer
    return NOTHING if complaint(text, max_words, None) else text


def _item_profile(evidence: ItemEvidence) -> Sequence[str]:
    told = [evidence.description] if evidence.description else [r.text for r in evidence.reviews]
    phrases = keyphrases(told, 7)
    ratings = [r.rating for r in evidence.reviews if r.rating is not None]
    return (
        _listed("Title", [evidence.title or ""]),
        _listed("About", [f"{k} {v}" for k, v in evidence.attributes.items()][:4]),
        _listed("Known for" if evidence.description else "Reviewers mention", phrases),
        _listed("Average rating", [f"{sum(ratings) / len(ratings):.1f}"] if ratings else []),
        _quoted("They write" if evidence.reviews else "From its description", told, phrases, 2),
    )


def _user_profile(evidence: UserEvidence) -> Sequence[str]:
    liked = [c for c in evidence.chosen if c.rating is None or c.rating > 2]
    own = [c.review for c in liked if c.review]
    # The user's own words count twice: they stand in both lists.
    phrases = keyphrases([*own, *own, *(bare(c.profile) for c in liked)], 8)
    return (
        _listed("Chose", [c.title for c in liked if c.title][:4]),
        _listed("Drawn to", phrases),
        _quoted("In their own words", own, phrases, 2),
        _listed("Disliked", _disliked(evidence.chosen)),
    )


def _disliked(chosen: Sequence[Chosen]) -> list[str]:
    poor = [c for c in chosen if c.rating is not None and c.rating <= 2]
    return [c.title or next(iter(keyphrases([c.review or c.profile], 1)), "") for c in poor][:2]


def _refinement(evidence: RefineEvidence) -> Sequence[str]:
    """What the neighbours share and the node's own text does not say yet.

    Where the text takes the place of the own one, the start of that comes first.
    """
    about_item = any(n.node.startswith("user:") for n in evidence.neighbours)
    texts = [bare(n.text) for n in evidence.neighbours]
    known = evidence.own.casefold()
    fresh = [p for p in keyphrases(texts, 40) if not _mentions(known, p)]
    shared = [p for p in fresh if sum(_mentions(t.casefold(), p) for t in texts) > 1]
    phrases = (shared + [p for p in fresh if p not in shared][: max(0, 5 - len(shared))])[:7]
    unsaid = [s for t in texts for s in _sentences(t) if s.casefold() not in known]
    return (
        clean(shorten(evidence.own, 120)) if evidence.replaces else "",
        _listed(
            "Those who chose it also look for" if about_item else "Common to the chosen", phrases
        ),
        _quoted("One of them" if about_item else "As one of them puts it", unsaid, phrases, 1),
    )


def settle() -> None:
    """Read what writing needs, and keep the garbage collector from walking through it.

    For a process that does nothing but work for a run: otherwise a fifth of its time goes there.
    """
    _small_words()
    gc.freeze()


@cache
def _small_words() -> frozenset[str]:
    """YAKE's own list of English stop words, which it would read from its file for every text."""
    import yake

    return frozenset(yake.KeywordExtractor(lan="en").stopword_set)


def _at_a_glance(alike: Callable[[str, str], float]) -> Callable[[str, str], float]:
    """YAKE's measure of likeness, with its first test, whether an end differs, done at once.

    Of a long text it compares ten thousand pairs, nearly all of which end there: a third of the
    writer's time.
    """

    def likeness(one: str, other: str) -> float:
        ends_differ = one[0] != other[0] or one[-1] != other[-1]
        return 0.0 if ends_differ and (len(one) > 3 or len(other) > 3) else alike(one, other)

    return likeness


def keyphrases(texts: Sequence[str], most: int) -> list[str]:
    """Up to `most` telling phrases of up to three words, the best first."""
    import yake

    # A phrase must not run from one line into the next.
    source = "\n".join(_sentence(s) for text in texts for s in _sentences(text))
    if not source:
        return []
    extractor = yake.KeywordExtractor(
        lan="en", n=3, dedupLim=0.75, top=most * 4, stopwords=_small_words()
    )
    extractor.dedup_function = _at_a_glance(extractor.dedup_function)
    found: dict[str, set[str]] = {}
    for phrase, _score in extractor.extract_keywords(source):
        phrase = phrase.strip(" '\"-.")
        stems = _stems(phrase)
        kinds = set(stems)
        if len(phrase) < 3 or kinds <= _FILLER or len(kinds) < len(stems):
            continue
        if words(phrase) > MOST_LISTED or not _PLAIN.search(phrase):
            continue
        if _told(kinds, found.values()):
            continue
        found[phrase] = kinds
        if len(found) == most:
            break
    return list(found)


def select(texts: Sequence[str], phrases: Sequence[str], most: int) -> list[str]:
    """Up to `most` sentences that together cover the most phrases, in their order in the texts."""
    pool = list(dict.fromkeys(s for text in texts for s in _sentences(text)))
    pool = [s for s in pool if 6 <= words(s) <= 32 and not s.endswith(("?", ":"))]
    weight = {p.casefold(): 1 / (rank + 2) for rank, p in enumerate(phrases)}
    chosen: list[str] = []
    while pool and len(chosen) < most:
        worth = {
            s: sum(w for p, w in weight.items() if p in s.casefold()) / (8 + len(s.split())) ** 0.5
            for s in pool
        }
        best = max(pool, key=lambda s: worth[s])
        if worth[best] <= 0:
            break
        chosen.append(best)
        pool.remove(best)
        weight = {p: w for p, w in weight.items() if p not in best.casefold()}
    return [s for text in texts for s in _sentences(text) if s in chosen][: len(chosen)]


def bare(text: str) -> str:
    """A description without this writer's own words: a line each for its phrases and sentences."""
    lines = _LIST.sub(
        lambda m: "\n" if m[1] in _PRIVATE else "\n" + re.sub("[,;] ", "\n", m[2]) + "\n", text
    )
    return re.sub(rf"[“”]|(?:{_ANY}):", "\n", lines)


def _sentences(text: str) -> list[str]:
    # Before the cut: a turn of its own may begin in one sentence and end in another.
    shown = visible(text.replace(CUT, ""))
    parts = re.split(r"(?<=[.!?])\s+|(?<=[。！？])|\s*\n+\s*", shown)
    kept = [clean(part) for part in parts]
    return [p for p in kept if p and not instruction_like(p)]


def _mentions(text: str, phrase: str) -> bool:
    return all(stem in text for stem in _stems(phrase))


def _stems(phrase: str) -> list[str]:
    return [
        w[:-1] if len(w) > 3 and w[-1] == "s" else w for w in re.findall(r"\w+", phrase.casefold())
    ]


def _told(kinds: set[str], found: Iterable[set[str]]) -> bool:
    """Whether a phrase adds nothing: each of its words is told, or a pair of them in one phrase."""
    said: set[str] = set()
    for others in found:
        if len(kinds & others) > 1:
            return True
        said |= others
    return kinds <= said


def _sentence(text: str) -> str:
    return text if not text or text[-1] in ".!?。！？" else f"{text}."


def _listed(label: str, values: Sequence[str]) -> str:
    kept = [v for v in (clean(value) for value in values) if v and words(v) <= MOST_LISTED]
    # Titles have commas of their own.
    glue = "; " if any(", " in v for v in kept) else ", "
    return _sentence(f"{label}: {glue.join(kept)}") if kept else ""


def _quoted(label: str, texts: Sequence[str], phrases: Sequence[str], most: int) -> str:
    told = " ".join(f"“{s}”" for s in select(texts, phrases, most))
    return f"{label}: {told}" if told else ""
