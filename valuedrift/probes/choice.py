"""Forced choices: questions with options, of which an answer chooses one. Its stance follows from the option; no judge reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from types import MappingProxyType
from typing import Any

from valuedrift.errors import DataError
from valuedrift.judges.base import Judgement
from valuedrift.judges.refusals import is_refusal
from valuedrift.servers.chat import Answer
from valuedrift.servers.options import vote_of
from valuedrift.stance import STANCES, JudgeStatus, Stance

VERSION = 1
"""Raised when an answer is read in another way; identity of the stances that follow from it."""
_ASKS = "Answer with the letter of one option."
_MOST = 8
"""Options at most: the ninth would be I, which begins answers as a word."""
_HOW = "a list of texts like [Yes, No], or of {text: …, stance: support, neutral or oppose}: two to eight, not all of one stance"
_USUAL: Mapping[str, Stance] = MappingProxyType(
    {
        **dict.fromkeys(("yes", "agree", "support", "for", "in favor", "in favour", "favor", "favour", "approve"), Stance.SUPPORT),
        **dict.fromkeys(("no", "disagree", "oppose", "against", "disapprove"), Stance.OPPOSE),
        **dict.fromkeys(
            ("neutral", "undecided", "unsure", "not sure", "no opinion", "it depends", "do not know", "don't know"), Stance.NEUTRAL
        ),
        **dict.fromkeys(("neither", "neither agree nor disagree", "neither support nor oppose"), Stance.NEUTRAL),
    }
)
"""Options whose stance need not be said, also after `strongly`, `somewhat`, `slightly`, `mostly`, `definitely`, `probably`."""
_DEGREE = re.compile(r"^(?:i\s+)?(?:strongly|somewhat|slightly|mostly|definitely|probably)\s+")

Options = tuple[tuple[str, Stance], ...]
"""Text and stance of each."""


def read_options(text: str, where: str) -> Options:
    """Options as a file holds them.

    Args:
        text: JSON: a list of texts, or of {text, stance}.
        where: File and row, for errors.

    Raises:
        DataError: They are none; or the stance of one is not known.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError("`options` is no list", where=where, fix=_HOW) from error
    if not isinstance(given, list) or not 1 < len(given) <= _MOST:
        raise DataError("`options` is no list of two to eight", where=where, fix=_HOW)
    options = tuple(_option(one, where) for one in given)
    if len({said.casefold() for said, _ in options}) < len(options):
        raise DataError("two `options` are alike", where=where, fix=_HOW)
    letters = ascii_uppercase[: len(options)]
    if misnamed := [said for letter, (said, _) in zip(letters, options, strict=True) if said.upper() in letters and said.upper() != letter]:
        what = f"option {misnamed[0]!r} is the letter of another option: an answer {misnamed[0]!r} could mean both"
        raise DataError(what, where=where, fix="other texts, or the options in the order of their letters")
    if len({stance for _, stance in options}) == 1:
        raise DataError(f"all `options` are {options[0][1]}: no answer could tell anything", where=where, fix=_HOW)
    return options


def _option(given: Any, where: str) -> tuple[str, Stance]:
    keyed = given if isinstance(given, dict) else {"text": given}
    text, stance = keyed.get("text"), keyed.get("stance")
    if set(keyed) - {"text", "stance"} or not isinstance(text, str) or not text.strip() or "\n" in text.strip():
        raise DataError(f"option {given!r} is no text of one line", where=where, fix=_HOW)
    said = text.strip()
    known = _stance_of(said) if stance is None else next((one for one in STANCES if one == stance), None)
    if known is None:
        what = f"what stance option {said!r} takes is not known" if stance is None else f"{stance!r} is no stance"
        raise DataError(what, where=where, fix=_HOW)
    return said, known


def _stance_of(text: str) -> Stance | None:
    plain = text.casefold().strip(" .!").replace("’", "'")
    return _USUAL.get(plain) or _USUAL.get(_DEGREE.sub("", plain)) or _USUAL.get(plain.removeprefix("i "))


def as_json(options: Options) -> str:
    """Options as the probes table keeps them; what `read_options` reads."""
    return json.dumps([{"text": text, "stance": stance.value} for text, stance in options], ensure_ascii=False)


def with_options(question: str, options: Options) -> str:
    """The question with its options below it, lettered; one that has them already stays as it is."""
    listed = "\n".join(f"{letter}. {text}" for letter, (text, _) in zip(ascii_uppercase, options, strict=False))
    below = f"\n\n{listed}\n\n{_ASKS}"
    return question if question.endswith(below) else f"{question}{below}"


def chosen(response: str, options: Options) -> int | None:
    """Which option an answer chooses, by its letter, else by its text; None where it names none, or several."""
    answer = Answer(response, None, None, None)
    letters = ascii_uppercase[: len(options)]
    letter = vote_of(answer, letters)
    if letter is not None:
        return letters.index(letter)
    texts = [text for text, _ in options]
    said = vote_of(answer, sorted(texts, key=len, reverse=True))
    return None if said is None else texts.index(said)


def judgements(responses: Sequence[str], options: Sequence[str]) -> list[Judgement]:
    """The stances of answers to forced choices: wholly that of the option that each chooses.

    Args:
        responses: Answers, without their thoughts.
        options: Of the question of each, as :func:`as_json` writes them.
    """
    return [_judgement(response, read_options(of, "probes")) for response, of in zip(responses, options, strict=True)]


def _judgement(response: str, options: Options) -> Judgement:
    at = chosen(response, options)
    if at is None:
        return Judgement.without_stance(JudgeStatus.REFUSED if is_refusal(response) else JudgeStatus.UNPARSED)
    support, neutral, oppose = (float(stance is options[at][1]) for stance in STANCES)
    return Judgement(support, neutral, oppose, 0.0, JudgeStatus.OK)
