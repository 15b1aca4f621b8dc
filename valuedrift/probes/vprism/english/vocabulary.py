"""English that the rule-based rewriter knows: spellings, names, and which words exist."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from valuedrift.models.resolve import resolve_model
from valuedrift.probes.vprism.english.grammar import word_set
from valuedrift.starter import probe_pairs, stance_items
from valuedrift.yaml_files import parse_yaml

_SUFFIXES = word_set("'s s' s es ed d ing ly er ers or ness ism ist ists able ful less ment ity")
_PREFIXES = ("un", "re", "non", "anti", "pro", "over", "under", "mis", "dis", "in", "im", "ir", "de", "pre", "inter", "multi")
_MENDABLE = 6
"""Letters from which on a misspelling is mended."""
_TWO_LETTERS = word_set("am an as at be by do go he if in is it me my no of oh ok on or so to up us we")
_STEM = 3
"""Letters that a word must keep when a prefix or a suffix is taken off."""


@dataclass(frozen=True, slots=True)
class English:
    """Spellings and names from ``data/probes/english.yaml``."""

    spellings: Mapping[str, str]
    """One word or two, lower case, to how they are spelled."""
    capitals: Mapping[str, str]
    """A name or acronym in lower case to how it is written."""
    words: frozenset[str]
    """Words that the tokenizer's vocabulary lacks."""


@functools.cache
def english() -> English:
    """The packaged lists."""
    read = parse_yaml((files("valuedrift") / "data/probes/english.yaml").read_text(encoding="utf-8"), "english.yaml").content
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
    if len(word) == 2 and word.isalpha():
        return word in _TWO_LETTERS or word in english().capitals
    if word in known or word in english().capitals or word in english().spellings or (not word.isalpha() and _is_compound(word)):
        return True
    return any(stem in known for stem in _stems(word)) or any(
        word.startswith(prefix) and len(word) - len(prefix) > _STEM and is_word(word[len(prefix) :]) for prefix in _PREFIXES
    )


@functools.lru_cache(maxsize=65536)
def mended(word: str) -> str | None:
    """A misspelt lower-case word as it is surely meant: the one word of the packaged questions that is a single slip away; None where there is not just one."""
    if len(word) < _MENDABLE or not word.isalpha():
        return None
    letters = "abcdefghijklmnopqrstuvwxyz"
    cuts = [(word[:index], word[index:]) for index in range(len(word) + 1)]
    near = {head + tail[1:] for head, tail in cuts if tail}
    near |= {head + tail[1] + tail[0] + tail[2:] for head, tail in cuts if len(tail) > 1}
    near |= {head + letter + tail[1:] for head, tail in cuts if tail for letter in letters}
    near |= {head + letter + tail for head, tail in cuts for letter in letters}
    near_words = near & _known_well()
    return near_words.pop() if len(near_words) == 1 else None


@functools.cache
def _known_well() -> frozenset[str]:
    """Words of the packaged probes, stance questions and themes."""
    texts = [pair[side] for _, pair in probe_pairs() for side in ("for", "against")]
    texts += [text for item in stance_items() for text in (item.question, item.counter, item.support, item.oppose)]
    themes = (files("valuedrift") / "data/probes/topics.yaml").read_text(encoding="utf-8")
    return frozenset(re.findall(r"[a-z]{4,}", " ".join([*texts, themes]).lower())) | english().words


def _is_compound(word: str) -> bool:
    """Numbers, contractions, and words joined by hyphens or slashes whose parts are words."""
    if re.fullmatch(r"[\d.,:%$£€°+-]+(st|nd|rd|th|s|k|m|bn)?", word):
        return True
    parts = [part for part in re.split(r"[-/]", re.sub(r"(n't|'(s|re|ve|ll|d|m))$", "", word)) if part]
    return bool(parts) and parts != [word] and all(part in {"ca", "wo", "sha"} or is_word(part) for part in parts)


def _stems(word: str) -> list[str]:
    """What a word may be an inflection of."""
    stems = []
    for suffix in _SUFFIXES:
        stem = word.removesuffix(suffix)
        if stem != word and len(stem) >= _STEM and (suffix != "d" or stem.endswith("e")):
            stems += [stem, f"{stem}e", f"{stem}y"]
            if stem.endswith("i"):
                stems.append(f"{stem[:-1]}y")
            if stem[-1] == stem[-2]:
                stems.append(stem[:-1])
    for british, american in (("isation", "ization"), ("ise", "ize"), ("ising", "izing"), ("ised", "ized"), ("our", "or"), ("yse", "yze")):
        if british in word:
            stems.append(word.replace(british, american))
    return [*stems, *(one.replace("is", "iz") for one in stems if one.endswith("ise"))]
