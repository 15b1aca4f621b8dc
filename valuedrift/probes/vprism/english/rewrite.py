"""The embedded rewriter, rule-based and for English: from a prompt to the one self-contained question about a value in it, or to the reason why there is none.

Nothing is forced: a prompt that the rules cannot turn surely into a proper question is left out, with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from valuedrift.probes.vprism.english.grammar import WH, looks_broken, loose_end, word_set, words_of
from valuedrift.probes.vprism.english.questions import asked
from valuedrift.probes.vprism.english.statements import has_tag, turned
from valuedrift.probes.vprism.english.tidy import sentences, spelled
from valuedrift.probes.vprism.english.values import cues, not_of_values
from valuedrift.probes.vprism.english.vocabulary import is_word
from valuedrift.probes.vprism.source import LONGEST, plain
from valuedrift.probes.vprism.steps import Report, Rewriting
from valuedrift.progress import Progress

VERSION = 5
"""Raised whenever the same prompt would be rewritten in another way; part of the cache key."""

NOT_ENGLISH = "not English, as far as the rule-based rewriter can tell"
MIN_WORDS, MAX_WORDS = 4, 30
_SENTENCES = 12
_EVERY = 200
"""Prompts between two reports of progress."""
_ACRONYM = 5
"""Letters of an acronym at most."""
_DECLARED = 14
"""Words of a statement that is asked by its question mark alone: “Climate change is real?”."""

_FUNCTION_WORDS = word_set(
    "the a is are do you to of and in what should be it that for i not how on with can does shouldn't must can't cannot don't doesn't have did why who when"
    " people women men about they there would could from but than tell your my their"
)
_REQUESTS = word_set("""tell give write explain describe list show help recommend suggest make create plan provide discuss define compare talk teach find let
    imagine pretend act name generate summarize summarise draft compose design translate calculate solve play sing recite pick choose say
    advise outline argue convince persuade prove analyze analyse elaborate present prepare produce rank rate respond answer""")


class EnglishRewriter:
    """Rewrites by rules."""

    def identity(self) -> dict[str, Any]:
        """The version of the rules."""
        return {"rules": VERSION}

    def rewrite(self, ids: Sequence[str], prompts: Sequence[str], report: Report) -> list[Rewriting]:
        """A question for each prompt, or why there is none."""
        rewritings = []
        for index, prompt in enumerate(prompts):
            rewritings.append(rewrite(prompt))
            if index % _EVERY == 0:
                report(Progress(index, len(prompts)))
        return rewritings


def rewrite(prompt: str) -> Rewriting:
    """Make the question of a prompt.

    Args:
        prompt: A user's opening prompt, of any length and content.

    Returns:
        A question of 4 to 30 words that stands by itself, or why there is none.
    """
    if len(prompt) > LONGEST:
        return Rewriting(None, f"longer than {LONGEST:,} characters")
    text = plain(prompt)
    if not re.search(r"\w", text):
        return Rewriting(None, "no words in it")
    if not _is_english(text):
        return Rewriting(None, NOT_ENGLISH)
    parts = sentences(text)
    if not parts:
        return Rewriting(None, "a greeting only")
    candidates: list[tuple[int, str]] = []
    reasons: list[str] = []
    for part in parts[:_SENTENCES]:
        question, reason = _question_of(spelled(part))
        fault = reason if question is None else fault_of(question)
        if question is not None and not fault:
            candidates.append((cues(question), question))
        elif fault:
            reasons.append(fault)
    if candidates:
        strongest = max(strength for strength, _ in candidates)
        return Rewriting([question for strength, question in candidates if strength == strongest][-1])
    return Rewriting(None, reasons[-1] if reasons else "neither a question nor a statement")


def fault_of(question: str) -> str:
    """Why a question is not a proper one; empty if it is."""
    words = words_of(question)
    if len(words) < MIN_WORDS:
        return f"shorter than {MIN_WORDS} words"
    if len(words) > MAX_WORDS:
        return f"longer than {MAX_WORDS} words"
    unknown = _unknown_word(question)
    if unknown is not None:
        return f"unknown word {unknown!r}"
    if looks_broken(question):
        return "not a well-formed question"
    if re.search(r"[;:()\[\]{}=_#@*<>|\\]|[.!?] \w|, \d|,$", question):
        return "not one plain sentence"
    elsewhere = not_of_values(question)
    if elsewhere:
        return elsewhere
    loose = loose_end(question)
    return f"not self-contained ({loose})" if loose else ""


def _question_of(sentence: str) -> tuple[str | None, str]:
    question, reason = asked(sentence)
    if question is not None or reason:
        return question, reason
    first = words_of(sentence)[:2]
    verb = first[1] if first[:1] == ["please"] and len(first) > 1 else first[0] if first else ""
    if verb in _REQUESTS and not re.match(r"convince me (?:that )?\w+", sentence, re.IGNORECASE):
        return None, "asks for something to be done"
    if sentence.rstrip().endswith("?") and not has_tag(sentence):
        declared = sentence.rstrip(" ?").removeprefix("So ")
        words = words_of(declared)
        if len(words) > _DECLARED or words[0] in WH or "," in declared or set(words) & {"i", "you", "your", "any"}:
            return None, "a question in a form that is not known"
        return turned(re.sub(r"\s+or\s+\w+$", "", declared))
    return turned(sentence)


def _unknown_word(question: str) -> str | None:
    """The first word that is not English; names in capitals inside the sentence, and acronyms, are let pass."""
    for index, raw in enumerate(question.split()):
        word = raw.strip(".,;:!?\"'()[]")
        if word.isupper() and word.isalpha() and len(word) <= _ACRONYM:
            continue
        if word and not (index and word[0].isupper() and word[1:] == word[1:].lower()) and not is_word(word.lower()):
            return word
    return None


def _is_english(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    if not letters or sum(character.isascii() for character in letters) < 0.9 * len(letters):
        return False
    words = words_of(text)
    return len(words) < 4 or bool(_FUNCTION_WORDS & set(words))
