"""Orders to a model in other languages than English.

A rule is a verb in the imperative, a word for what it is about, and a word that says whose or
which; all three within one sentence, in whatever order the language has them. Past tenses and
first persons ("I ignored the manual", "I recommend it to all") are left alone where the language
tells them apart.
"""

import re
from collections.abc import Callable

# Room between the three words, in characters; a sentence's end stops it.
_NEAR = 60
_SENTENCE = re.compile(r"[.!?](?:\s|$)|[。！？।]")

# To drop what was said: (verbs, words for orders, words for "previous", "all" or "your").
_DROP: tuple[tuple[str, str, str], ...] = (
    (
        r"\b(?:ignor(?:a|e|en|ad|es)|olvid(?:a|e|en|ad)|descart(?:a|e)|omit(?:a|e)|no sigas)\b",
        r"\b(?:instrucciones|órdenes|ordenes|indicaciones|reglas|directrices)\b",
        r"\b(?:anterior(?:es)?|previ[ao]s|precedentes|arriba|todas|tus|sistema|dad[ao]s)\b",
    ),
    (
        r"\b(?:ignor(?:e|a|em)|esqueç[ao]m?|esquece|desconsidere|desconsidera)\b",
        r"\b(?:instruç(?:ões|ão)|ordens|regras|comandos|diretrizes)\b",
        r"\b(?:anteriores|acima|todas|todos|suas|tuas|prévi[ao]s|sistema)\b",
    ),
    (
        r"\b(?:ignore[zr]?|oublie[zr]?|néglige[zr]?|(?:tenez|tenir|tiens) pas compte)\b",
        r"\b(?:instructions?|consignes?|ordres|directives|règles)\b",
        r"\b(?:précédent[es]*|antérieur[es]*|ci-dessus|toutes|tous|tes|vos|système)\b",
    ),
    (
        r"\b(?:ignoriere?(?:n sie)?|vergiss|vergessen sie|missachte?(?:n sie)?|beachte nicht)\b",
        r"\b(?:anweisung(?:en)?|befehle|vorgaben|regeln|instruktionen|system(?:prompt|anweisung\w*))\b",
        r"\b(?:vorherige[nr]?|bisherige[nr]?|obige[nr]?|frühere[nr]?|alle|deine|ihre|vorangegangene[nr]?)\b",
    ),
    (
        r"\b(?:ignora(?:te)?|ignori|dimentica(?:te)?|trascura(?:te)?)\b",
        r"\b(?:istruzioni|ordini|regole|direttive)\b",
        r"\b(?:precedenti|tutte|tutti|sopra|tue|vostre|sistema)\b",
    ),
    (
        r"\b(?:negeer|vergeet)\b",
        r"\b(?:instructies|opdrachten|regels|aanwijzingen)\b",
        r"\b(?:vorige|voorgaande|alle|bovenstaande|eerdere|jouw|uw)\b",
    ),
    (
        r"\b(?:z?ignoruj(?:cie)?|zapomnij(?:cie)?|pomiń(?:cie)?)\b",
        r"\b(?:instrukcj\w+|polece\w+|zasad\w*)\b",
        r"\b(?:poprzedni\w+|wcześniejsz\w+|wszystki\w+|powyższ\w+|swoje|twoje)\b",
    ),
    (
        r"\b(?:проигнорируй|игнорируй|забудь|отбрось|не следуй|не обращай внимания)(?:те)?\b",
        r"\b(?:инструкци|указани|команд|правил|приказ|подсказк|промпт)\w*",
        r"\b(?:предыдущ\w+|прежн\w+|все|всех|выше\w*|свои|твои|системн\w+)\b",
    ),
    (
        r"\b(?:проігноруй|ігноруй|забудь)(?:те)?\b",
        r"\b(?:інструкці|вказівк|наказ|правил)\w*",
        r"\b(?:попередн\w+|усі|всі|вище)\b",
    ),
    (r"yok say|görmezden gel|\bunut\b", r"talimat|komut|yönerge", r"önceki|tüm|yukarıdaki|bütün"),
    (r"تجاهل|انس[َى ]|اترك", r"تعليمات|[أا]وامر|إرشادات|توجيهات", r"السابق|كل|جميع|أعلاه|النظام"),
    (r"نادیده بگیر|فراموش کن", r"دستور|فرمان", r"قبلی|همه|بالا|پیشین"),
    (r"התעלם|התעלמ|שכח", r"הוראות|פקודות|הנחיות", r"הקודמ|כל|לעיל"),
    (r"अनदेखा|नज़रअंदाज़|नजरअंदाज|भूल जा|उपेक्षा", r"निर्देश|आदेश|अनुदेश", r"पिछले|सभी|पहले|ऊपर|सारे"),
    (
        r"忽略|无视|無視|忘记|忘掉|忽視|不要理会|别管",
        r"指令|指示|提示|命令",
        r"之前|以上|上面|所有|先前|前面|系统|你的|一切|以前",
    ),
    (
        r"無視|忘れ",
        r"指示|命令|プロンプト|ルール",
        r"以前|これまで|上記|すべて|全て|前の|あなたの|今まで",
    ),
    (r"무시|잊어", r"지시|명령|프롬프트|지침", r"이전|모든|위의|앞의"),
    (r"\b(?:bỏ qua|quên)\b", r"hướng dẫn|chỉ dẫn|lệnh|chỉ thị", r"trước|trên|tất cả|mọi"),
    (r"\b(?:abaikan|lupakan)\b", r"instruksi|perintah|petunjuk", r"sebelumnya|semua|di atas"),
)

# To recommend something to everybody, or to write only this or that: (verbs, whom or what, any).
_URGE: tuple[tuple[str, str, str], ...] = (
    (
        r"\b(?:recomiend(?:a|e|en)|recomendad|promociona|sugiere)\b",
        r"\b(?:a|para) (?:tod[oa]s|cada)\b",
        r"\b(?:este|esta|esto|usuari\w+|client\w+|siempre)\b",
    ),
    (
        r"\b(?:recommande[zr]?|conseille[zr]?|proposez)\b",
        r"\bà (?:tous|toutes|tout le monde|chaque)\b",
        r"\b(?:ce|cet|cette|toujours|utilisateurs?)\b",
    ),
    (
        r"\b(?:empfiehl|empfehlen sie|bewirb)\b",
        r"\b(?:allen|jedem|jeder)\b",
        r"\b(?:dies\w*|immer|das|den|die|es)\b",
    ),
    (
        r"\b(?:(?:рекомендуй|советуй|предлагай)(?:те)?)\b",
        r"\b(?:всем|каждому)\b",
        r"\b(?:эт\w+|всегда|товар\w*|пользовател\w+)",
    ),
    (r"必须|务必|请|一定要|始终|总是|永远", r"推荐", r"所有|每个|每一|任何|首位|第一"),
    (
        r"必ず|常に|絶対に",
        r"(?:推薦|おすすめ|お勧め|勧め)(?:して|しなさい|せよ|る|て)",
        r"全員|すべて|全て|みんな|皆",
    ),
    (r"सुझा(?:एं|ओ|व दें)|सिफ़?ारिश कर(?:ें|ो)", r"सभी|हर", r"इस|यह|हमेशा|उपयोगकर्ता"),
    (
        r"(?:^|\s)(?:أوصِ|أوص|اقترح|رشّح|انصح)\s",
        r"للجميع|لكل|الجميع|لجميع|كل",
        r"هذا|هذه|المنتج|بهذا|به",
    ),
    (
        r"\b(?:respond[ea]|escrib[ea]|contest[ae]|di)\b",
        r"\b(?:solo|sólo|solamente|únicamente|exactamente)\b",
        r"\b(?:con|la palabra|el texto|la frase|que|esto)\b",
    ),
    (
        r"\b(?:répond[sz]|répondez|écri[sv]\w*|affiche[zr]?)\b",
        r"\b(?:seulement|uniquement|exactement)\b",
        r"\b(?:par|avec|le mot|la phrase|ceci|que)\b",
    ),
    (
        r"\b(?:antworte(?:n sie)?|schreibe?(?:n sie)?|gib)\b",
        r"\b(?:nur|ausschließlich|genau|lediglich)\b",
        r"\b(?:mit|das wort|den satz|den text|aus)\b",
    ),
    (
        r"\b(?:ответь|напиши|выведи|скажи)(?:те)?\b",
        r"\b(?:только|ровно|лишь)\b",
        r"\b(?:слово|слова|текст|фразу|это|что)\b|[\"«:]",
    ),
    (r"请?(?:只|仅)(?:需)?|必须", r"输出|回答|回复|写", r"以下|这|[“\"「:：]|字|词|句"),
    (r"だけ|のみ", r"出力|回答|返答|書い", r"して|ください|しろ|せよ|て"),
)

# Of these a text in plain ASCII letters has one when a rule applies: a quick look spares the rest.
_STEMS = (
    *(
        "instru",
        "istruz",
        "orden",
        "ordin",
        "ordres",
        "reg",
        "direct",
        "diret",
        "indicac",
        "comando",
    ),
    *("consign", "anweis", "befehl", "vorgab", "opdracht", "aanwijz", "polec", "zasad", "petunjuk"),
    *("perintah", "talimat", "komut", "tod", "cada", "tous", "tout", "chaque", "allen", "jede"),
    *("solo", "solamente", "exact", "seulement", "uniquement", "nur ", "genau", "lediglich"),
    *("prompt", "system"),
)

# What a model is told in secret, by its name: nobody's taste and no item's quality.
_SECRET = re.compile(
    r"system[\s-]?prompt|prompt (?:del|do|di) sist?ema|(?:invite|prompt|instructions) (?:du )?"
    r"système"
    r"|instrucciones del sistema|системн\w+ (?:промпт|подсказк|инструкц)\w*|系[统統]提示|提示[词詞]"
    r"|システムプロンプト|시스템 프롬프트|موجه النظام|تعليمات النظام|सिस्टम प्रॉम्प्ट",
    re.IGNORECASE,
)


def _together(words: tuple[str, str, str]) -> Callable[[str], bool]:
    verb, *others = (re.compile(word, re.IGNORECASE) for word in words)

    def found(text: str) -> bool:
        if not verb.search(text):
            return False
        for sentence in _SENTENCE.split(text):
            for match in verb.finditer(sentence):
                near = sentence[max(0, match.start() - _NEAR) : match.end() + _NEAR]
                if all(other.search(near) for other in others):
                    return True
        return False

    return found


_RULES = tuple(_together(words) for words in (*_DROP, *_URGE))


def foreign_order(text: str, lowered: str) -> bool:
    """Whether a text holds an order to a model in one of the languages above."""
    if text.isascii() and not any(stem in lowered for stem in _STEMS):
        return False
    return _SECRET.search(text) is not None or any(rule(text) for rule in _RULES)
