"""The judge of every reply: form first, then what it says. Pure; a complaint is a sentence."""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from agents.models.base import Answer
from agents.replies import Profile, Refinement, Reply
from prompts.untrusted import CLOSE, OPEN, clean

NOTHING = "None"
"""What a model answers when the evidence says nothing: valid, and marked as such."""

DECLINES = "it declines to answer. Describe only what the evidence says."
_REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i am sorry|sorry\b|i can(?:no|')t (?:help|assist|comply|provide)|i am unable"
    r"|i'?m unable|as an ai\b|as a language model)",
    re.IGNORECASE,
)
_INSTRUCTION = re.compile(
    r"(ignore|disregard|forget|override)\s+(?:(?:all|any|the|your|every|of|these|those|my|our)\s+)*"
    r"(previous|prior|above|earlier|preceding|other|system)\b"
    r"|system prompt|developer message|\bnew instructions?\b|you are now\b|\bjailbreak"
    r"|(?:recommend|rank|rate)\s+(?:this|it)\s+(?:\w+\s+)?(?:to everyone|first|above all)"
    r"|https?://|www\.\w|\b[\w.+-]+@[\w-]+\.\w{2,}|<\|\w+\|>|</?script",
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
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the object'}: {e['msg']}" for e in error.errors()
        )
        return Verdict(None, f"its JSON does not have the form asked for ({problems}).")
    except ValueError as error:
        return Verdict(None, f"it is not one JSON object ({error}).")
    kept = tidy(reply)
    complaint = "" if kept.text == NOTHING else _complaint(kept.text, max_words, language)
    return Verdict(None if complaint else kept, complaint)


def tidy(reply: Reply) -> Reply:
    """The reply in one line of visible characters; every way to say nothing becomes `None`."""
    text = clean(reply.text)
    if re.sub(r"[\W_]", "", text).casefold() in {"none", "null", "na", "nothing"}:
        text = NOTHING
    name = "summarization" if isinstance(reply, Profile) else "description"
    return reply.model_copy(update={name: text})


def instruction_like(text: str) -> bool:
    """Whether a text reads as an order to a model, a link or an advertisement."""
    return _INSTRUCTION.search(text) is not None


def words(text: str) -> int:
    """Words of a text; two Chinese, Japanese or Korean characters count as one."""
    cjk = len(_CJK.findall(text))
    return len(_CJK.sub(" ", text).split()) + -(-cjk // 2)


def _complaint(text: str, max_words: int, language: str | None) -> str:
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
    stripped = text.strip()
    start = stripped.find("{")
    if start < 0:
        raise ValueError("there is no object in it")
    value, end = json.JSONDecoder().raw_decode(stripped, start)
    if "{" in stripped[end:]:
        raise ValueError("there is more than one object in it")
    return value


_LANGUAGES = {
    "arabic": "ar", "chinese": "zh", "czech": "cs", "danish": "da", "dutch": "nl", "english": "en",
    "finnish": "fi", "french": "fr", "german": "de", "greek": "el", "hebrew": "he", "hindi": "hi",
    "hungarian": "hu", "indonesian": "id", "italian": "it", "japanese": "ja", "korean": "ko",
    "norwegian": "no", "persian": "fa", "polish": "pl", "portuguese": "pt", "romanian": "ro",
    "russian": "ru", "spanish": "es", "swedish": "sv", "thai": "th", "turkish": "tr",
    "ukrainian": "uk", "vietnamese": "vi",
}  # fmt: skip


def other_language(text: str, wanted: str) -> str:
    """The language a text is clearly written in when it is not `wanted`, or nothing.

    Doubt counts for the text: short texts, close languages and unknown names all pass.
    """
    code = _LANGUAGES.get(wanted.casefold())
    if code is None or words(text) < 8:
        return ""
    found, certainty = _identifier().classify(text[:300])
    if found == code or certainty < 0.95:
        return ""
    names = {code: name.capitalize() for name, code in _LANGUAGES.items()}
    return names.get(found, f"another language ({found})")


def prepare(language: str | None) -> None:
    """Load what the language check needs now, and not in the middle of a run."""
    if language and language.casefold() in _LANGUAGES:
        _identifier()


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(set(_LANGUAGES.values()) & set(identifier.labels))
    return identifier
