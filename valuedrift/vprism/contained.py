"""Whether a question stands by itself: no pronoun or pointing word whose meaning lies outside of it."""

from __future__ import annotations

import re

from valuedrift.vprism.grammar import word_set, words_of

_PLURAL = re.compile(
    r"(?:people|men|women|children|parents|everyone|everybody|someone|somebody|anyone|anybody|nobody|person|child|kids|couples?|who"
    r"|those|one|police)$"
)
_NOT_PLURAL = word_set(
    "is was has does this its us as always yes less unless perhaps thus because makes needs wants causes believes thinks religious"
)
_MALE = word_set("man husband father boy son brother trump biden putin jesus god king president pope musk he")
_FEMALE = word_set("woman wife mother girl daughter sister queen she lady")
_THEY = word_set("they them their theirs themselves")
_ONE = word_set("a an every each any president")
_HE = word_set("he him his himself")
_SHE = word_set("she her hers herself")
_FINE_AFTER_THIS = word_set("country world society day age planet life earth century era kind type sort year decade")
_EXPLETIVE = re.compile(
    r"\bit(?:'s)?\s+(?:is\s+|be\s+|was\s+|would be\s+|ever\s+|really\s+|still\s+|always\s+|truly\s+|not\s+|never\s+|actually\s+"
    r"|even\s+)*(?!just|two|only|all)(?:(?:\w+\s+){1,3}(?:to|that|for|if|when|how|whether)|\w+\s+\w+ing)\b"
    r"|\b(?:makes?|find|consider|think|believe)\s+it\s+\w+\s+(?:to|that|for)\b|\bit\s+(?:is\s+)?time\b",
    re.IGNORECASE,
)
_VAGUE = re.compile(
    r"\bthe\s+(?:current |recent |whole |present )?(?:situation|issue|problem|matter|case|topic|subject|question|statement|conflict"
    r"|event|article|book|movie|film|story|above|following|idea|others)\b"
    r"(?!\s+(?:of|in|with|between|that|for|on|at|about|around|as|to|regarding|surrounding|over|against|'s))(?!\w|-)",
    re.IGNORECASE,
)
_OWN = re.compile(
    r"\bour (?:relationship|marriage|son|daughter|child|baby|house|wedding|dog|cat|home|parents|mother|father|friend)\b", re.IGNORECASE
)
_ELLIPSIS = re.compile(
    r"\b(?:too|either|instead|as well|though|so|like that|an? (?:good |bad )?example|like this|that way|this way|such|etc|the same|below|here|mentioned)\W*$"
    r"|\b(?:this|that|these|those|it)\W*$",
    re.I,
)


def loose_end(question: str) -> str:
    """The word whose meaning lies outside the question; empty if there is none.

    Args:
        question: One question, ending in a question mark.
    """
    words = words_of(question)
    if _ELLIPSIS.search(question):
        return words[-1]
    vague = _VAGUE.search(question)
    if vague:
        return vague.group()
    for index, word in enumerate(words):
        before = words[:index]
        if word in _THEY and not any(_is_plural(each) for each in before) and not (word == "their" and _ONE & set(before)):
            return word
        if word in _HE and not _MALE & set(before) and not _name_before(question, word):
            return word
        if word in _SHE and not _FEMALE & set(before) and not _name_before(question, word):
            return word
        if word in {"this", "these", "those"} and (words[index + 1 : index + 2] or [""])[0] not in _FINE_AFTER_THIS | {
            "who",
            "that",
            "with",
            "in",
            "of",
        }:
            return word
        if (
            word == "that"
            and before[-1:]
            and before[-1] in {"is", "was", "about", "of", "on", "with", "for", "do", "does", "to", "in", "like", "should", "would"}
        ):
            return word
        if word in {"i", "me", "my", "i'm", "myself", "mine", "i've", "i'd"}:
            return word
    if _OWN.search(question):
        return "our"
    return "it" if re.search(r"\bit(?:'s|s)?\b", question, re.IGNORECASE) and not _it_is_clear(question, words) else ""


def _it_is_clear(question: str, words: list[str]) -> bool:
    """Whether every “it” is empty of meaning (“is it right to …”) or has a noun before it."""
    if _EXPLETIVE.search(question):
        return True
    first = next(index for index, word in enumerate(words) if word in {"it", "it's", "its"})
    content = [
        word
        for word in words[1:first]
        if len(word) > 3 and word not in {"think", "agree", "that", "believe", "should", "would", "what", "about", "your"}
    ]
    return bool(content)


def _is_plural(word: str) -> bool:
    return bool(_PLURAL.match(word)) or (
        word.endswith("s") and word not in _NOT_PLURAL and not word.endswith(("ss", "us", "'s")) and len(word) > 3
    )


def _name_before(question: str, word: str) -> bool:
    """Whether a name in capitals stands inside the question before a word."""
    head = re.split(rf"\b{word}\b", question, maxsplit=1, flags=re.IGNORECASE)[0]
    return any(each[:1].isupper() for each in head.split()[1:])
