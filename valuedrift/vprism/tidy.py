"""A prompt as people type it, made into clean English sentences: spaces, quotes, emoji, spelling, capitals. Meaning is never touched."""

from __future__ import annotations

import re
import unicodedata

from valuedrift.vprism.english import english, is_word, mended

_QUOTES = str.maketrans({"’": "'", "‘": "'", "`": "'", "´": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": " - "})
_GREETING = re.compile(
    r"^(?:(?:hi+|hello+|hey+|hiya|howdy|greetings|good (?:morning|afternoon|evening|day)|dear)\b"
    r"(?:\s+(?:there|again|all|everyone|friend|robot|bot|ai|al|assistant|claude|chatgpt|chat|gpt|bard|alexa|siri|you|my friend|mate|sir))*"
    r"\s*[,.!:;-]*\s*)+",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"(?<=[.!?])[\"')]*\s+|\s*\n+\s*")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|mr|mrs|dr|st|u\.s|u\.k|u\.s\.a|no)\.$", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9.+'-]*[A-Za-z0-9+]|[A-Za-z]|\d+")


def plain(text: str) -> str:
    """The text without control characters, emoji and fancy quotes, with single spaces; line breaks stay.

    Args:
        text: Any text, also with NUL bytes or lone surrogates.
    """
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8")).translate(_QUOTES)
    kept = "".join(_plain(character) for character in text)
    kept = re.sub(r"[ \t]+", " ", kept)
    kept = re.sub(r"\s+([,.;:!?])", r"\1", kept)
    kept = re.sub(r"([!?])[!?.]*", lambda marks: "?" if "?" in marks.group() else "!", kept)
    kept = re.sub(r"\.{2,}|…", ". ", kept)
    return re.sub(r"([,;!?])(?=[A-Za-z])", r"\1 ", kept).strip()


def _plain(character: str) -> str:
    if character == "\n":
        return character
    category = unicodedata.category(character)
    if category in {"So", "Sk", "Cs", "Co", "Cn", "Mn", "Me"} or category == "Cf":
        return ""
    return " " if category in {"Cc", "Zs", "Zl", "Zp"} else character


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
    return word if word[:1].isupper() or is_word(lower) else mended(lower) or word


def first_upper(sentence: str) -> str:
    """The sentence with a capital at its beginning."""
    return sentence[:1].upper() + sentence[1:]


def first_lower(clause: str) -> str:
    """A clause as it stands inside a sentence: its first word small, unless it is a name or I."""
    word = re.split(r"[\s,']", clause, maxsplit=1)[0]
    second = clause[len(word) :].lstrip(" ,'")
    if word == "I" or word.lower() in english().capitals or (len(word) > 1 and word[1:] != word[1:].lower()) or second[:1].isupper():
        return clause
    return clause[:1].lower() + clause[1:]
