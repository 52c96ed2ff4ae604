"""The judge of every reply: form first, then what it says. Pure; a complaint is a sentence."""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from agents.models.base import Answer
from agents.orders import instruction_like
from agents.replies import Profile, Refinement, Reply
from prompts.languages import LANGUAGES
from prompts.untrusted import CLOSE, OPEN, clean

NOTHING = "None"
"""What a model answers when the evidence says nothing: valid, and marked as such."""

DECLINES = "it declines to answer. Describe only what the evidence says."
_REFUSAL = re.compile(
    r"^\W*(?:(?:i['’]?m |i am )?sorry\b[,.]? (?:but )?(?:i|there is no)\b"
    r"|i['’]?m unable|i am unable|as an ai\b|(?:unfortunately,? )?i (?:cannot|can['’]?t) "
    r"(?:help|assist|comply|provide|describe|summari[sz]e)|as a language model)",
    re.IGNORECASE,
)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Either a reply, or the complaint that the model is shown."""

    reply: Reply | None
    complaint: str = ""


def judge(
    answer: Answer, form: type[Profile] | type[Refinement], max_words: int, language: str | None
) -> Verdict:
    """Check one answer. `language` None means that the writer cannot choose its language."""
    if answer.finish == "refusal":
        return Verdict(None, DECLINES)
    if answer.finish != "stop":
        return Verdict(
            None,
            f"it was cut off ({answer.finish}). Stay under {max_words} words, "
            "and keep the reasoning to one sentence.",
        )
    try:
        reply = form.model_validate(_json_object(answer.text))
    except ValidationError as error:
        problems = "; ".join(f"{_place(e['loc'])}: {e['msg']}" for e in error.errors())
        return Verdict(None, f"its JSON does not have the form asked for ({problems}).")
    except ValueError as error:
        return Verdict(None, f"it is not one JSON object ({error}).")
    kept = tidy(reply)
    problem = "" if kept.text == NOTHING else complaint(kept.text, max_words, language)
    return Verdict(None if problem else kept, problem)


def _place(path: tuple[int | str, ...]) -> str:
    """Where in a reply something is wrong. A key that is no plain word is not repeated: the
    complaint stands outside of every fence, and the reply may come from hostile data.
    """
    names = [name if re.fullmatch(r"\w{1,20}", name) else "a key" for name in map(str, path)]
    return ".".join(names) or "the object"


def tidy(reply: Reply) -> Reply:
    """The reply in one line of visible characters; every way to say nothing becomes `None`."""
    text = clean(reply.text)
    if re.sub(r"[\W_]", "", text).casefold() in {"none", "null", "na", "nothing"}:
        text = NOTHING
    name = "summarization" if isinstance(reply, Profile) else "description"
    return reply.model_copy(update={name: text})


def words(text: str) -> int:
    """Words of a text; two Chinese, Japanese or Korean characters count as one."""
    cjk = len(_CJK.findall(text))
    return len(re.findall(r"\S*\w\S*", _CJK.sub(" ", text))) + -(-cjk // 2)


def complaint(text: str, max_words: int, language: str | None) -> str:
    """What is wrong with a description, as a sentence for its writer; or nothing."""
    count = words(text)
    if count < 3:
        return "it says nothing: the text is empty or a few words."
    # Models cannot count words well; a tenth over is not worth a second call.
    if count > max_words * 1.1:
        return f"it has {count} words; the limit is {max_words}."
    if _REFUSAL.search(text):
        return DECLINES
    if OPEN in text or CLOSE in text or instruction_like(text):
        return (
            "it repeats an instruction, a link or an advertisement from the data. "
            "Describe tastes and qualities only."
        )
    if language and (other := other_language(text, language)):
        return f"it seems to be written in {other}; write in {language}."
    return ""


def _json_object(text: str) -> Any:
    """The one JSON object in an answer; words or a code fence around it are forgiven."""
    found: Any = None
    position, decoder = 0, json.JSONDecoder()
    # What is no object is skipped, but not for ever: an answer may be braces from end to end.
    for _ in range(20):
        position = text.find("{", position)
        if position < 0:
            break
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
            continue
        if found is not None:
            raise ValueError("there is more than one object in it")
        found, position = value, end
    if found is None:
        raise ValueError("there is no object in it")
    return found


def other_language(text: str, wanted: str) -> str:
    """The language a text is clearly written in when it is not `wanted`, or nothing.

    Doubt counts for the text: short texts, close languages and unknown names all pass.
    """
    code = _code(wanted)
    if code is None or words(text) < 8 or _speaks(code, text):
        return ""
    found, certainty = _identifier().classify(text[:300])
    if found == code or certainty < 0.95:
        return ""
    names = {code: name.capitalize() for name, code in LANGUAGES.items()}
    return names.get(found, f"another language ({found})")


def prepare(language: str | None) -> None:
    """Load what the language check needs now, and not in the middle of a run."""
    if language and (code := _code(language)):
        _identifier()
        _stop_words(code)


def _code(language: str) -> str | None:
    """The code of a language given by its English name or by its code."""
    name = language.casefold()
    return name if name in LANGUAGES.values() else LANGUAGES.get(name)


def _speaks(code: str, text: str) -> bool:
    """Whether a third of the words are stop words of that language: quick, and enough."""
    said = text.casefold().split()
    return 3 * sum(word in _stop_words(code) for word in said) >= len(said)


@cache
def _stop_words(code: str) -> frozenset[str]:
    import yake

    return frozenset(yake.KeywordExtractor(lan=code).stopword_set)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(set(LANGUAGES.values()) & set(identifier.labels))
    return identifier
