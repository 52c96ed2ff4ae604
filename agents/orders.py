"""What a description must not say: orders to a model, fake turns, links, adverts, hidden messages.

Rules look at kinds of sentences, not at words alone: reviews say "ignore the slow start", "follow
the recipe" and "I recommend it to everyone", and these pass. Who gives an order to a model names
what was said before it ("previous instructions"), its reply, its prompt or its role. When in doubt
a sentence goes: a description loses little, and a link or an order in it would stay for ever.
"""

import codecs
import re
import unicodedata
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from agents.tongues import foreign_order
from prompts.untrusted import clean


@dataclass(frozen=True)
class Rule:
    """A pattern, and words of which one must be there: a look for these is quick."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]

    def holds(self, text: str, lowered: str) -> bool:
        return any(w in lowered for w in self.words) and self.pattern.search(text) is not None


def _rule(words: str, pattern: str) -> Rule:
    return Rule(tuple(words.split("|")), re.compile(pattern, re.IGNORECASE))


# Where an order begins: a sentence, a clause after a colon, or behind a word that urges.
_START = r"(?:(?:^|[.!?:;…。！？\"“«(\[>*#-]\s*)(?:please\s+|now,?\s+|just\s+|always\s+|then\s+)*)"
_URGED = (
    r"(?:^|[.!?:;,\"“(]\s*|\b(?:please|must|should|shall|will|to|and|then|now|instead|just|simply)"
    r",?\s+)"
)
_DROP = (
    r"(?:ignore|disregard|forget|override|bypass|discard|neglect|overrule|(?:stop|quit)\s+following"
    r"|(?:do\s+not|don['’]?t|never)\s+(?:follow|obey|listen\s+to)|pay\s+no\s+attention\s+to)"
)
_SAID = (
    r"(?:instructions?|prompts?|directions|guidelines|directives|commands|messages|orders|policies"
    r"|constraints|system\s+(?:prompt|message))"
)
_BEFORE = r"(?:previous|prior|above|earlier|preceding|foregoing|initial|original|existing)"
_MODEL = (
    r"(?:a\.?i\.?|llms?|(?:large\s+)?language\s+models?|chat\s?bots?|assistants?|gpt|chatgpt|claude"
    r"|gemini|summari[sz]ers?|recommender(?:\s+systems?)?|recommendation\s+(?:engine|model|system)s?)"
)

_ORDERS = (
    # To drop what was said before: the verb, whose words they are, and a word for orders.
    _rule(
        "ignor|disregard|forget|override|bypass|discard|neglect|overrule|following|follow|obey"
        "|listen|attention",
        rf"\b{_DROP}\s+(?:[\w']+\s+){{0,4}}?"
        rf"(?:{_BEFORE}|other|these|those|all|any|your|my|system)\s+"
        rf"(?:of\s+)?(?:(?:the|these|your|my)\s+)?(?:{_BEFORE}\s+|system\s+)?{_SAID}\b"
        rf"|\b{_DROP}\s+(?:\w+\s+){{0,3}}{_SAID}\s+(?:above|before|that\s+came|you\s+were)\b"
        rf"|\b{_DROP}\s+(?:\w+\s+){{0,2}}{_BEFORE}\s+(?:rules|context|text|task)\b"
        rf"|\b{_DROP}\s+(?:(?:everything|anything|all|of|the)\s+)*(?:(?:above|before\s+this)\b(?!-)"
        r"|(?:that\s+|what\s+)?you\s+(?:were|have\s+been|are)\s+told)",
    ),
    # To show what only the model sees.
    _rule(
        "prompt|instructions|guidelines|configuration|above|before this|you were given|key",
        r"\b(?:reveal|print|show|repeat|output|display|leak|expose|recite|dump|tell|give|share|write)"
        r"\s+(?:me\s+|us\s+|out\s+|down\s+|back\s+)?(?:\w+\s+){0,2}?"
        r"(?:(?:your|the)\s+(?:\w+\s+)?(?:system\s+)?prompt\b(?!\s+(?:service|delivery|repl|resp))"
        r"|your\s+(?:(?:hidden|secret|initial|original|own|full|exact|system)\s+)*"
        r"(?:instructions|guidelines|configuration)\b"
        r"|(?:words|text|instructions|lines)\s+(?:above|before\s+this|you\s+were\s+given)\b"
        r"|(?:your|the)\s+(?:api|secret|access)\s+keys?\b)"
        r"|\bwhat\s+(?:is|are|were)\s+your\s+(?:\w+\s+)?(?:prompt|instructions|guidelines)\b",
    ),
    # To be somebody else.
    _rule(
        "you are|from now on|act |act\t|behave |respond |pretend |imagine | mode|you’re|you're",
        r"\byou\s+are\s+(?:now|no\s+longer)\s+(?:an?|in|DAN|my|the|bound|free)\b"
        r"|\bfrom\s+now\s+on,?\s+(?:you|your|always|every|only)\b"
        rf"|{_START}(?:act|behave|respond)\s+(?:as|like)\s+(?:an?|if\s+you|my|the)\s"
        rf"|{_START}(?:pretend|imagine)\s+(?:to\s+be|that\s+you\s+are|you\s+are)\s"
        r"|\b(?:developer|debug|admin|god|jailbreak|DAN)\s+mode\s*(?:[:=]|(?:is\s+)?(?:on|enabled))"
        r"|\byou(?:['’]re|\s+are)\s+(?:an?\s+)?(?:a\.?i\.?|llm|(?:large\s+)?language\s+model"
        r"|chat\s?bot|summari[sz]er|recommender)\b",
    ),
    # To take on another task.
    _rule(
        "your |instruction|orders|directive|prompt",
        r"\byour\s+(?:new|real|actual|only|true|next|first)\s+"
        r"(?:task|job|goal|objective|role|purpose|instructions?|orders?|rules?)\s*"
        r"(?:is|are|:|will\s+be)"
        r"|\b(?:new|updated|important|urgent|special|secret|hidden|additional|final)\s+"
        r"(?:system\s+)?(?:instructions?|orders|directives?|prompt)\s*"
        r"(?::|for\s+(?:you|the\s+(?:ai|model)))",
    ),
    # To the model by its name.
    _rule(
        "ai|a.i|llm|model|bot|assistant|gpt|claude|gemini|summari|recommend",
        rf"\b(?:dear|hey|hello|hi|attention|(?:note|message|memo|reminder|instructions?)\s+"
        rf"(?:to|for))\W+(?:\w+\s+){{0,2}}{_MODEL}\b"
        r"|\b(?:this|that|the)\s+(?:ai|language\s+model|llm)\s+(?:must|should|shall|has\s+to)\b",
    ),
    # To reply in a certain way.
    _rule(
        "reply|replies|respond|answer|output|print|return|write|say|echo|response|summariz|summaris|json"
        "|description|summary",
        rf"{_URGED}(?:reply|respond|answer|output|print|return|write|say|echo)\s+"
        r"(?:only(?!\s+what)|exactly|nothing\s+(?:but|else)|verbatim"
        r"|(?:with\s+|in\s+)?(?:only\s+|just\s+|exactly\s+)?(?:the\s+(?:word|words|text|phrase"
        r"|string|sentence|following|json)\b|this\s+(?:text|sentence|json)|json\b|[\"“'{]))"
        r"|\b(?:reply|respond|answer)\s+(?:only\s+)?with\s+(?:only|just|exactly|nothing|json"
        r"|the\s+word)"
        r"|\b(?:in|as|into)\s+(?:your\s+(?:reply|response|output|summary|description)"
        r"|the\s+(?:summari[sz]ation|json)|your\s+json)\b"
        r"|\bin\s+(?:all|every|each|any)\s+(?:of\s+your\s+)?(?:reply|replies|answers?|responses?)\b"
        r"|\b(?:begin|start|end|finish)\s+(?:your|the|every|each)\s+"
        r"(?:reply|response|answer|description|summary|output)\s+with\b",
    ),
    # About other nodes.
    _rule(
        "description|profile|summar|entry|entries|node|other|item|user",
        r"\b(?:set|change|update|rewrite|overwrite|edit|replace|delete|erase|modify|mark|alter|copy"
        r"|append|add|insert|put|write)\s+(?:\S+\s+){0,6}?(?:descriptions?|profiles?"
        r"|summar(?:y|ies)|entr(?:y|ies)|nodes?)\s+(?:of|for|in|on)\s+(?:all|every|each|any"
        r"|(?:the\s+)?(?:other|next|previous)|another|items?|users?|products?|nodes?)\b"
        r"|\b(?:all|every|each|any)\s+(?:of\s+the\s+)?other\s+(?:\w+\s+)?"
        r"(?:items?|users?|products?|nodes?|descriptions?|profiles?)\s+(?:must|should|shall|has\s+to)\b"
        r"|\b(?:say|claim|state|write|tell\s+\w+)\s+that\s+(?:all|every|each)\s+(?:the\s+)?other\b"
        r"|\b(?:item|user):\s?\w*\d",
    ),
)

_TURNS = re.compile(
    r"^\W*(?:system|assistant|developer|human|instructions?)(?:\s+(?:prompt|message|note))?\s*:"
    r"|[.!?;\]}\"”>*-]\s*\W*(?:system|assistant|developer)(?:\s+(?:prompt|message|note))?\s*:"
    r"|#{2,}\s*(?:system|assistant|user|instructions?|response|input|end|task|new)\b"
    r"|\[\s*/?\s*(?:system|assistant|user|inst|system\s+\w+)\s*\]"
    r"|</?\s*(?:system|assistant|user|human|script|iframe|img|a\s+href|tool_\w+|instructions?)\b"
    r"|<\|\w+\|>"
    r"|\b(?:end|begin(?:ning)?|start)\s+of\s+(?:the\s+)?(?:data|input|evidence|(?:system\s+)?prompt"
    r"|untrusted\s+\w+|reviews?\s+data)\b"
    r"|```|\{\s*[\"'“”]?\w+[\"'“”]?\s*:|[\"“](?:summari[sz]ation|description|reasoning)[\"”]\s*:"
    r"|\b(?:role|content)[\"”']\s*:",
    re.IGNORECASE,
)

_ENDINGS = (
    r"com|net|org|info|biz|edu|gov|io|app|dev|shop|xyz|online|website|click|club|ru|cn|de|fr|uk|eu"
    r"|jp|br|nl|pl|ch|example|invalid|test"
)
_LINKS = (
    _rule(
        "http|hxxp|h**p|://|: //|ftp|tg:|mailto|javascript|data:|magnet|www|xn--",
        r"\bh(?:tt|xx|\*\*)ps?\s*[:;]|\b(?:ftp|tg|mailto|javascript|data|magnet)\s?:[/\w]"
        r"|:\s?//|\bwww\s?\d?\s?[.,]|\bxn--\w",
    ),
    # A name and its ending, with a real dot or with one in disguise.
    _rule(
        ".",
        rf"(?<=[\w-][\w-])(?<!\basp)\.(?:{_ENDINGS})\b"
        r"|(?-i:\b[\w-]+\.[a-z]{2,6}/[\w?#])|\b\d{1,3}(?:\.\d{1,3}){3}\b",
    ),
    _rule(
        "dot|punto|punkt|[.|(.|{.|<.|[ .|( .",
        r"\w[\w-]+\s*[\[({<]\s*(?:dot|punto|punkt|\.)\s*[\])}>]\s*[a-z]{2,}\b"
        r"|\b(?!(?:the|a|an|of|this|that|early|late|first|his|her|their|our|in|and)\b)[\w-]{2,}\s+"
        r"(?:dot|punto|punkt)\s+(?:com|net|org|info|io|biz|ru|cn|de|co|example|xyz|shop)\b"
        r"(?!\s+(?:boom|bubble|era|crash|bust|start|compan|world|days|generation|industry|craze))"
        r"|\b\w+\s+at\s+\w+\s+dot\s+\w{2,}\b",
    ),
    # Mail, accounts and telephones.
    _rule(
        "@|[at]|(at)|[ at |( at |{at}",
        r"\w\s?(?:@|[\[({]\s?at\s?[\])}])\s?[a-z][\w-]*\s*[\[({]?\s*(?:\.|\bdot\b)\s*[\])}]?\s*[a-z]{2,}"
        r"|(?<![\w.])@(?!(?:home|work|school|night|the|all|first|about|least)\b)[a-z_]\w{2,}",
    ),
    _rule(
        "0|1|2|3|4|5|6|7|8|9",
        r"(?<![\w.,])\+\d[\d\s().-]{7,}\d|\(\d{3}\)\s?\d{3}[\s.-]?\d{4}\b"
        r"|\b(?:1[\s.-])?[2-9]\d{2}[\s.-]\d{3}[\s.-]\d{4}\b|\b1[\s.-]8\d\d[\s.-]\w{3,}"
        r"|\b(?:call|text|phone|tel|whatsapp|telegram|viber|wechat|sms)\b[^.!?]{0,20}?"
        r"\d[\d\s()-]{5,}\d",
    ),
    _rule(
        "whatsapp|telegram|instagram|insta|facebook|twitter|tiktok|discord|wechat|line|signal|skype"
        "|snapchat|mail|youtube| x|viber|微信|qq",
        r"\b(?:add|message|contact|reach|write|dm|text|find|join|follow|ping)\s+"
        r"(?:me|us|him|her|our\s+\w+)\s+(?:on|via|at|through|over|by)\s+(?:whatsapp|telegram"
        r"|instagram|insta|facebook|twitter|tiktok|discord|wechat|line|signal|skype|snapchat|e-?mail"
        r"|youtube|x)\b"
        r"|\b(?:whatsapp|telegram|wechat|skype|snapchat|instagram|insta|discord|line\s+id|viber|qq)"
        r"\s?(?:[:：=]|id\b|number|handle)\s?\S|微信\s?[:：号]?\s?[a-z0-9]",
    ),
)

_ADVERTS = (
    _rule(
        "recommend|suggest|promote|advertise|rank|rate|place|put|list|shown",
        rf"{_START}(?:(?:always|only|strongly)\s+)?(?:recommend|suggest|promote|advertise)\s+"
        r"(?:\S+\s+){0,6}?(?:to|for)\s+(?:every|all\b|each|any\s+(?:user|customer|reader))"
        r"|(?<!\bi\s)\balways\s+(?:recommend|rank|rate|suggest|promote)\s+(?:this|it|me|us|our)\b"
        r"|\b(?:rank|rate|place|put|list)\s+(?:this|it|me|us|our\s+\w+)\s+(?:\w+\s+){0,2}?"
        r"(?:first|on\s+top|at\s+the\s+top|above\s+all)\s*(?:for|of|in)\s+"
        r"(?:every|all|each|any|your|the\s+list)"
        r"|\b(?:you|it|model|system|ai)\s+(?:must|should|shall|have\s+to|need\s+to)\s+(?:\w+\s+)?"
        r"(?:recommend|promote|rank|suggest)\s+(?:this|it|me|us|our|only)\b"
        r"|\b(?:must|shall|has\s+to|should|needs\s+to)\s+(?:always\s+)?be\s+"
        r"(?:recommended|ranked|promoted|suggested|shown)\s+(?:\w+\s+)?"
        r"(?:to\s+(?:every|all)|first|above|on\s+top|before)",
    ),
    _rule(
        " now|today|here|click|link",
        rf"{_URGED}(?:buy|order|shop|act|call|subscribe|download|register|sign\s+up)\s+now\b(?!\s+\w)"
        rf"|{_START}(?:buy|order|get\s+yours|shop|call|subscribe)\s+(?:\w+\s+)?(?:today|here|now)\b"
        r"|\bclick\s+(?:here|the\s+link|on\s+the\s+link|below|my|our)\b"
        r"|\blink\s+in\s+(?:my\s+)?bio\b",
    ),
    _rule(
        " us| our | my | me ",
        r"\b(?:visit|check\s+out|see|browse|like|join)\s+(?:us\b|(?:our|my)\s+(?:\w+\s+)?"
        r"(?:site|store|web\s?site|page|shop|channel|profile|blog|group|newsletter)\b)"
        r"|\b(?:follow|subscribe\s+to|contact|call|email|text)\s+(?:us\b|(?:me|our|my)\s+"
        r"(?:at|on|for|channel|page|newsletter|team|sales)\b)"
        r"|\b(?:buy|purchase|get)\s+(?:it\s+)?(?:only\s+)?(?:at|from)\s+(?:our|my)\s+(?:\w+\s+)?"
        r"(?:store|shop|site)",
    ),
    _rule(
        "code|offer|deal|% |shipping|miss|last|guarantee",
        r"\b(?:promo(?:tion)?(?:al)?|coupon|discount|voucher|referral|gift)\s+code\b"
        r"|\b(?:use|with|enter)\s+code\s+\w|\blimited[\s-]time\s+(?:offer|deal|only)"
        r"|\b\d{1,2}\s?%\s+(?:off|discount)\s+(?:your|all|with|using|any|every|for|today|if)\b"
        r"|\b(?:free|fast)\s+shipping\s+(?:on\s+all|worldwide|today)"
        r"|\bdon['’]?t\s+miss\s+(?:out|this)\b[^.]*!|\bwhile\s+(?:stocks?|supplies)\s+lasts?\b"
        r"|\bsatisfaction\s+guaranteed\b|\bbest\s+price\s+guaranteed",
    ),
)

_RUN = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_SPELT_OUT = re.compile(r"(?:\b\w[ .\-_*]){5,}\w\b")
# Longer than a chord, a scale or a tuning that somebody may spell.
_SPELT_AT_LENGTH = re.compile(r"(?:\b\w[ .\-_*]){13,}\w\b")
# Letters of other scripts that look like Latin ones; they count only in words that mix scripts.
_TWINS = str.maketrans("аеорсухіјѕԁһӏвкмнтԛԝαορνικτυγε", "aeopcyxijsdhlbkmhtqwaopviktuye")
_MIXED = re.compile(r"\b(?=\w*[a-z])(?=\w*[\u0370-\u03ff\u0400-\u052f])\w+", re.IGNORECASE)


@lru_cache(maxsize=8192)
def instruction_like(text: str) -> bool:
    """Whether a text reads as an order to a model, a link or an advertisement."""
    return bool(suspicion(text))


def suspicion(text: str) -> str:
    """What is wrong with a text, in a word or two; or nothing."""
    shown = unicodedata.normalize("NFKC", clean(text, len(text)))
    lowered = shown.casefold()
    if _TURNS.search(text) or _TURNS.search(shown):
        return "a fake turn"
    for kind, rules in (("a link", _LINKS), ("an advertisement", _ADVERTS)):
        if any(rule.holds(shown, lowered) for rule in rules):
            return kind
    readings = [shown, *_disguises(shown)]
    if any(rule.holds(reading, reading.casefold()) for reading in readings for rule in _ORDERS):
        return "an instruction"
    if foreign_order(shown, lowered):
        return "an instruction"
    return "a hidden message" if _SPELT_AT_LENGTH.search(shown) or _encoded(shown) else ""


def _disguises(text: str) -> Iterator[str]:
    """What the text becomes for somebody who sees through a disguise."""
    if not text.isascii() and _MIXED.search(text):
        yield _MIXED.sub(lambda word: word[0].casefold().translate(_TWINS), text)
    if _SPELT_OUT.search(text):
        yield _SPELT_OUT.sub(_joined, text)
    yield codecs.encode(text, "rot13")
    yield text[::-1]


def _joined(match: re.Match[str]) -> str:
    return re.sub(r"[ .\-_*]", "", match[0])


def _encoded(text: str) -> bool:
    """Whether a run of characters is not a word but readable text in base64 or hex."""
    return any(_readable(run) for run in _RUN.findall(text))


def _readable(run: str) -> bool:
    bare = run.rstrip("=")
    for decode in (_from_base64, bytes.fromhex):
        try:
            plain = decode(bare).decode("utf-8")
        except (ValueError, NotBase64):
            continue
        if len(plain) > 8 and plain.isprintable():
            return True
    return False


def _from_base64(run: str) -> bytes:
    return b64decode(run.replace("-", "+").replace("_", "/") + "=" * (-len(run) % 4), validate=True)
