"""What two answers differ in besides their stance: length and tone, by plain counts that anybody can check."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_HEDGE = re.compile(
    r"\b(?:may|might|could|perhaps|possibly|probably|seems?|appears?|likely|generally|often|sometimes|it depends|in some cases|to some extent|arguably"
    r"|i think|i believe|i feel|in my opinion|it is important to)\b",
    re.IGNORECASE,
)
_POLITE = re.compile(
    r"\b(?:please|thank you|thanks|sorry|apologi[sz]e|apologies|i understand|i appreciate|happy to|glad to|of course|great question)\b",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:i|me|my|mine|myself)\b", re.IGNORECASE)
_LIST = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE)

Measure = Callable[[str], float]


def words(text: str) -> int:
    """Words of a text: runs of letters; digits and signs are none."""
    return sum(1 for _ in _WORD.finditer(text))


def _rate(pattern: re.Pattern[str]) -> Measure:
    """Matches in 100 words; 0 in a text without words."""

    def measure(text: str) -> float:
        count = words(text)
        return 100.0 * sum(1 for _ in pattern.finditer(text)) / count if count else 0.0

    return measure


STYLE: Mapping[str, Measure] = MappingProxyType(
    {
        "words": lambda text: float(words(text)),
        "lists": lambda text: float(len(_LIST.findall(text)) > 1),
        "hedges": _rate(_HEDGE),
        "politeness": _rate(_POLITE),
        "first_person": _rate(_FIRST_PERSON),
        "exclamations": _rate(re.compile("!")),
        "questions": _rate(re.compile(r"\?")),
    }
)
"""Measures of style by name (English): words in the answer; lists, whether it holds one (0 or 1); the others a count in 100 words."""
