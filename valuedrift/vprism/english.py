"""English that the rule-based rewriter knows: spellings, names, and which words exist."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import yaml

from valuedrift.models.resolve import resolve_model

_SUFFIXES = (
    "'s",
    "s'",
    "s",
    "es",
    "ed",
    "d",
    "ing",
    "ly",
    "er",
    "ers",
    "or",
    "ness",
    "ism",
    "ist",
    "ists",
    "able",
    "ful",
    "less",
    "ment",
    "ity",
)
_PREFIXES = ("un", "re", "non", "anti", "pro", "over", "under", "mis", "dis", "in", "im", "ir", "de", "pre", "inter", "multi")
_STEM = 3
"""Letters that a word must keep when a prefix or a suffix is taken off."""


@dataclass(frozen=True, slots=True)
class English:
    """Spellings and names from ``data/vprism/english.yaml``."""

    spellings: Mapping[str, str]
    """One word or two, lower case, to how they are spelled."""
    capitals: Mapping[str, str]
    """A name or acronym in lower case to how it is written."""
    words: frozenset[str]
    """Words that the tokenizer's vocabulary lacks."""


@functools.cache
def english() -> English:
    """The packaged lists."""
    read = yaml.safe_load((files("valuedrift") / "data/vprism/english.yaml").read_text(encoding="utf-8"))
    written = [*read["names"].split(), *read["acronyms"].split()]
    spellings = {str(key): str(value) for key, value in read["spellings"].items()}
    return English(spellings, {word.lower(): word for word in written}, frozenset(read["words"].split()))


@functools.cache
def _vocabulary() -> frozenset[str]:
    """Whole words in the vocabulary of MiniLM's tokenizer: about the 20,000 commonest of English."""
    lines = (resolve_model("embedded:minilm") / "vocab.txt").read_text(encoding="utf-8").split("\n")
    return frozenset(line for line in lines if line.isalpha() and line.isascii() and len(line) > 1) | {"a", "i", "o"} | english().words


@functools.lru_cache(maxsize=65536)
def is_word(word: str) -> bool:
    """Whether a lower-case word is English, as far as a vocabulary and the rules of inflection tell."""
    known = _vocabulary()
    word = word.strip("'")
    if word in known or word in english().capitals or word in english().spellings or (not word.isalpha() and _is_compound(word)):
        return True
    return any(stem in known for stem in _stems(word)) or any(
        word.startswith(prefix) and len(word) - len(prefix) > _STEM and is_word(word[len(prefix) :]) for prefix in _PREFIXES
    )


def _is_compound(word: str) -> bool:
    """Numbers, contractions, and words joined by hyphens or slashes whose parts are words."""
    if re.fullmatch(r"[\d.,:%$£€°+-]+(st|nd|rd|th|s|k|m|bn)?", word):
        return True
    parts = [part for part in re.split(r"[-/]", re.sub(r"(n't|'(s|re|ve|ll|d|m))$", "", word)) if part]
    return bool(parts) and parts != [word] and all(part in {"ca", "wo", "sha"} or is_word(part) for part in parts)


def _stems(word: str) -> list[str]:
    """What a word may be an inflection of."""
    found = []
    for suffix in _SUFFIXES:
        stem = word.removesuffix(suffix)
        if stem != word and len(stem) >= _STEM:
            found += [stem, f"{stem}e", f"{stem}y"]
            if stem.endswith("i"):
                found.append(f"{stem[:-1]}y")
            if stem[-1] == stem[-2]:
                found.append(stem[:-1])
    for british, american in (("isation", "ization"), ("ise", "ize"), ("ising", "izing"), ("ised", "ized"), ("our", "or"), ("yse", "yze")):
        if british in word:
            found.append(word.replace(british, american))
    return [*found, *(one.replace("is", "iz") for one in found if one.endswith("ise"))]
