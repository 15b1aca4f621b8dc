"""A prompt as people type it, made into clean English sentences: greetings, spelling, capitals, short questions said in full. Meaning is never touched."""

from __future__ import annotations

import re

from valuedrift.probes.vprism.english.grammar import COPULAS, DETERMINERS, word_set
from valuedrift.probes.vprism.english.vocabulary import english, is_word, mended

_GREETING = re.compile(
    r"^(?:(?:hi+|hello+|hey+|hiya|howdy|greetings|good (?:morning|afternoon|evening|day)|dear)\b"
    r"(?:\s+(?:there|again|all|everyone|friend|robot|bot|ai|al|assistant|claude|chatgpt|chat|gpt|bard|alexa|siri|you|my friend|mate|sir))*"
    r"\s*[,.!:;-]*\s*)+",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"(?<=[.!?])[\"')]*\s+|\s*\n+\s*")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|mr|mrs|dr|st|u\.s|u\.k|u\.s\.a|no)\.$", re.IGNORECASE)
_ARTICLE = re.compile(
    r"\b(about|on|of|in|to|from|for|towards|leave|think) ((?:UK|US|EU|USA|UN|NHS|human race)(?=$|[?.,]| (?:and|in|is|are|to|should)\b))"
    r"|\b(about|on) ((?!(?:a|an|the|this|that|these|those|my|your|our|his|her|their|its|any|every|each|no|one)\b)[a-z]+ (?:problem|crisis|conflict)\b)"
)
"""Where an article is missing before what has only one."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9.+'-]*[A-Za-z0-9+]|[A-Za-z]|\d+")


def sentences(text: str) -> list[str]:
    """The sentences of a plain text, without greetings."""
    parts: list[str] = []
    for part in _SPLIT.split(text):
        if parts and _ABBREVIATION.search(parts[-1]):
            parts[-1] = f"{parts[-1]} {part}"
        elif part.strip():
            parts.append(part.strip())
    without = [_GREETING.sub("", part).strip() for part in parts]
    return [part for part in without if re.search(r"\w", part)]


def spelled(sentence: str) -> str:
    """The sentence with common misspellings mended and names in capitals."""
    known = english()
    if sentence.isupper() and " " in sentence:
        sentence = sentence.lower()
    words = re.sub(r"(?<=\w )(The|Should|Is|Are|IS|Of|And|To)\b(?= \w)", lambda match: match.group().lower(), sentence).split(" ")
    mended: list[str] = []
    for word in words:
        mended.append(_WORD.sub(lambda match: _spelled_word(match.group()), word))
        for size in (3, 2):
            tail = " ".join(mended[-size:])
            fix = known.spellings.get(tail.lower().strip(",.?!")) if len(mended) >= size else None
            if fix is not None:
                mended[-size:] = (fix + tail[len(tail.rstrip(",.?!")) :]).split(" ")
    joined = re.sub(
        r"\b(more|less|better|worse|rather|greater|other|safer|higher|lower|bigger|smarter)(( \w+)?) then\b", r"\1\2 than", " ".join(mended)
    )
    joined = re.sub(r"(?i)\b(?:the )?united (kingdom|states|nations)\b", lambda match: f"the United {match[1].title()}", joined)
    joined = re.sub(r"\b(that|which|and|if|when|because|think|but) its (?=\w+ing\b)", r"\1 it's ", joined)
    joined = re.sub(r"\b(our|your|my|this|a) countries (?=\w)", r"\1 country's ", joined)
    joined = _ARTICLE.sub(lambda match: f"{match[1] or match[3]} the {match[2] or match[4]}", joined)
    joined = re.sub(r"\b([Tt])o (many|much)\b(?= \w)", r"\1oo \2", joined)
    joined = re.sub(r"\b([Aa]) (?=[aeio](?!ne\b|nce\b|u)[a-z])", r"\1n ", joined)
    joined = re.sub(r"\b([Aa]) persons\b", r"\1 person's", joined)
    joined = re.sub(r"\b([Tt]he|in|from|to) us\b(?= (?:government|president|army|military|should|is|has)\b|[?.,]|$)", r"\1 US", joined)
    return re.sub(
        r"(?i)(?<!the )(?<!a )(?<!no )(?<!for )(?<!-)(?<!anti )(?<!pro )\bdeath (penalty|sentence)\b(?! (?:laws?|cases?|states?))",
        r"the death \1",
        joined,
    )


def _spelled_word(word: str) -> str:
    known = english()
    lower = word.lower()
    if lower == "us" or (lower in {"who", "it", "ice", "pm", "may", "harry", "stem"}):
        return word
    fix = known.spellings.get(lower)
    if fix is not None:
        return fix
    if lower in known.capitals:
        return known.capitals[lower]
    if "-" in word and lower not in known.spellings:
        return "-".join(_spelled_word(part) for part in word.split("-"))
    base, apostrophe, tail = lower.partition("'")
    if apostrophe and base in known.capitals and base != "us":
        return f"{known.capitals[base]}'{tail}"
    if word[:2].isupper() and word[2:].islower() and len(word) > 3 and is_word(lower):
        return word[0] + lower[1:]  # WOmen
    if word[:1].isupper() and not is_word(lower):
        name = mended(lower)
        return word if name is None else known.capitals.get(name, word[0] + name[1:])
    return word if word[:1].isupper() or is_word(lower) else mended(lower) or word


def first_upper(sentence: str) -> str:
    """The sentence with a capital at its beginning."""
    return sentence[:1].upper() + sentence[1:]


def first_lower(clause: str) -> str:
    """A clause as it stands inside a sentence: its first word small, unless it is a name or I."""
    word = re.split(r"[\s,']", clause, maxsplit=1)[0]
    second = clause[len(word) :].lstrip(" ,'")
    if word.lower() in DETERMINERS:
        return clause[:1].lower() + clause[1:]
    if word == "I" or word.lower() in english().capitals or (len(word) > 1 and word[1:] != word[1:].lower()) or second[:1].isupper():
        return clause
    return clause[:1].lower() + clause[1:]


_AFTER_SUBJECT = word_set(
    "be always ever really still truly more too just morally legalize legalise ban allow abolish have exist matter need deserve"
)
_VERDICTS = word_set(
    "good bad wrong right okay ethical unethical moral immoral fair unfair justified acceptable important necessary harmful evil racist sinful"
)
_THIRD_PERSON = {"exist": "exists", "have": "has", "need": "needs", "matter": "matters", "deserve": "deserves"}


def padded(text: str) -> str:
    """A very short question said in full: “Is abortion wrong” becomes “Do you think abortion is wrong”.

    Args:
        text: A yes/no question without its question mark.
    """
    words = text.split()
    if len(words) not in {3, 4} or words[1].lower() in DETERMINERS - {"the"} | {"there", "it", "you"}:
        return text
    verb, size = words[0].lower(), 2 if words[1].lower() == "the" else 1
    subject, rest = first_lower(" ".join(words[1 : size + 1])), words[size + 1 :]
    if len(rest) == 2 and verb in COPULAS and rest[1].lower() in _VERDICTS and rest[0].lower() not in DETERMINERS | _AFTER_SUBJECT:
        subject, rest = f"{subject} {rest[0]}", rest[1:]  # is capital punishment ethical
    if len(rest) > 1 and rest[0].lower() not in DETERMINERS | _AFTER_SUBJECT:
        return text  # where the subject ends cannot be told
    if rest and verb in COPULAS | {"should"}:
        return f"do you think {subject} {verb} {' '.join(rest)}"
    if verb == "does" and rest and rest[0].lower() in _THIRD_PERSON:
        return f"do you think {subject} {_THIRD_PERSON[rest[0].lower()]}{' '.join(['', *rest[1:]])}"
    return text
