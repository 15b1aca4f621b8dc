"""Statements as questions: “I think abortion is wrong” becomes “Is abortion wrong?”; what cannot be turned surely is not turned."""

from __future__ import annotations

import re

from valuedrift.probes.vprism.english.grammar import (
    AUXILIARIES,
    NEGATED,
    PREPOSITIONS,
    PRONOUN_SUBJECTS,
    VERBS,
    coordinated,
    has_finite_verb,
    main_auxiliary,
    word_set,
    words_of,
)
from valuedrift.probes.vprism.english.tidy import first_lower, first_upper
from valuedrift.probes.vprism.english.values import JUDGEMENT

_ADVERB = (
    r"(?:(?:really|strongly|personally|honestly|firmly|do|just|truly|also|still|always|often|definitely|generally|sometimes|kind of)\s+)*"
)
_LEAD = re.compile(
    rf"^(?:i\s+{_ADVERB}(?:think|believe|feel|reckon|consider|find|agree|disagree|am convinced|hold|would say|would argue|guess|suppose|know"
    rf"|am sure|am convinced|strongly believe|am of the opinion|do not think|do not believe|don't think|don't believe|don't agree"
    rf"|don't feel)(?:\s+(?:like|strongly|firmly))?(?:\s+that)?"
    r"|in my (?:humble |honest |personal )?(?:opinion|view)|imo|to me|personally|honestly|the truth is(?: that)?|the fact is(?: that)?"
    r"|it seems to me(?: that)?|some people (?:say|think|believe|argue)(?: that)?|people say(?: that)?|they say(?: that)?|everyone knows(?: that)?"
    r"|convince me(?: that)?|my (?:opinion|view|belief) is(?: that)?)\s*,?\s+",
    re.IGNORECASE,
)
_REASON = re.compile(r",?\s+(?:because|but|so|and)\s+(?:(?:i|i'm|i've|my|it|it's|they|that|this)\b|of my\b)", re.IGNORECASE)
"""Where a writer goes on to give a reason or to speak of something else."""
_NEXT_CLAUSE = re.compile(
    r",?\s+(?:and|but|so|yet|although)\s+"
    r"(?=(?:it|there|we|they|he|she|should|is|are|was|will|can|must|has|have|needs?|people|\w+ (?:should|is|are|will|can|must))\b)"
    r"|,\s+(?=\w+ (?:is|are|was|were|should|will|can|must)\b)",
    re.IGNORECASE,
)
_EARLIER = re.compile(r"^.*\b(?:therefore|so|but|and|however|hence),?\s+(?=i\s+(?:\w+ly\s+)?(?:think|believe|feel)\b)", re.IGNORECASE)
_TO_ME = re.compile(r"\b(important|vital|essential|valuable|crucial|wrong|right|unfair|fair)\s+(?:to|for)\s+me$", re.IGNORECASE)
_ATTITUDE = re.compile(
    rf"^i(?:'m|\s+am)?\s+{_ADVERB}(?P<verb>support|oppose|am against|against|am for|for|am in favou?r of|in favou?r of|agree with|disagree with"
    r"|believe in|don't believe in|don't support|do not support|don't agree with|do not agree with|am not for|am pro|am anti)\s+(?P<object>.+)$",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"[,.]?\s+(?:right|correct|isn't it|aren't they|don't you think(?: so)?|do you agree|you agree|agree|agreed|no|yes|true|wouldn't you(?: say)?"
    r"|what do you think(?: about (?:it|this|that))?|or not|(?:and |but )?(?:how|what) about you|thoughts|your thoughts|discuss)\s*[?!.]*$",
    re.IGNORECASE,
)
_OWN_LIFE = word_set("i i'm i've i'd i'll my me mine myself")
_CONNECTIVES = re.compile(
    r"^(?:so|well|and|but|also|because|then|however|therefore|thus|okay|yes|no|basically|actually|obviously|look)\s*,?\s+", re.I
)
_SHORTEST_INVERTED = 5
"""Words; what is shorter is asked in full: “Do you think abortion is wrong?”."""
_LONGEST_CLAUSE = 18
_UNCLEAR = re.compile(
    r"^(?:before|after|some|others|a few|surely|examples?|places|with|without|by|in|at|on|from|despite|even|only|other|another|one|there seems?"
    r"|whether|what|how|why|who|according|recently"
    r"|currently|today|the (?:other|same|recent|current)|it seems?|they|he|she|we have|once)\b"
    r"|\b(?:how|why|what|where) (?:can|should|do|does|is|are|we|to)\b|\b(?:et al|e\.g)\b",
    re.IGNORECASE,
)
_AGREE = "Do you agree that {}?"


def turned(statement: str) -> tuple[str | None, str]:
    """A statement as the question whether it is so.

    Args:
        statement: One tidy sentence.

    Returns:
        The question and an empty reason, or None and why it cannot be made.
    """
    clause = _TAG.sub("", statement).strip(" .!?,;:\"'")
    clause = _EARLIER.sub("", clause)
    clause = _TO_ME.sub(r"\1", _REASON.split(clause, maxsplit=1)[0]).strip(" ,")
    attitude = _ATTITUDE.match(clause)
    if attitude:
        return _attitude(attitude.group("verb").lower(), attitude.group("object"))
    before = None
    while before != clause:
        before = clause
        clause = _LEAD.sub("", _CONNECTIVES.sub("", clause)).strip()
    clause = _first_clause(clause)
    words = words_of(clause)
    if len(words) < 3 or not has_finite_verb(words) or (not has_finite_verb(words[:-1]) and words[-1] not in AUXILIARIES):
        return None, "neither a question nor a statement"
    if set(words) & _OWN_LIFE:
        return None, "tells of the writer's own life"
    if ";" in clause or ":" in clause or clause.count(",") > 2:
        return None, "several statements in one"
    if not _starts_soundly(words):
        return None, "not a plain statement"
    question = _inverted(clause)
    if question is not None and len(words_of(question)) < _SHORTEST_INVERTED:
        return f"Do you think {first_lower(clause)}?", ""
    if question is None and (len(words) > _LONGEST_CLAUSE or _UNCLEAR.search(clause) or not JUDGEMENT.search(clause)):
        return None, "not a plain statement about a value"
    return question or _AGREE.format(first_lower(clause)), ""


def _first_clause(clause: str) -> str:
    """A clause without what else is stated after it, where it can stand alone."""
    first = _NEXT_CLAUSE.split(clause, maxsplit=1)[0].strip(" ,")
    words = words_of(first)
    return first if len(words) > 2 and main_auxiliary(words) is not None else clause


def has_tag(sentence: str) -> bool:
    """Whether a sentence states something and then asks whether it is so: “…, right?”, “…, what do you think?”."""
    return bool(_TAG.search(sentence))


def inverted(clause: str) -> str | None:
    """A clause with its verb before its subject, as a question; None where the verb is not certain."""
    return _inverted(clause.strip(" .!?,;:"))


def _inverted(clause: str) -> str | None:
    raw = clause.split()
    words = [word.strip(",\"'").lower() for word in raw]
    if words[0] in PREPOSITIONS:
        return None  # “In the future all people should …”: the subject comes later
    if words[0] in {"it's", "there's"}:
        raw, words = [raw[0][:-2], "is", *raw[1:]], [words[0][:-2], "is", *words[1:]]
    index = next((i for i, word in enumerate(words[1:7], start=1) if word in NEGATED), None)
    if index is not None and words[index] in {"isn't", "aren't", "shouldn't", "can't", "wasn't", "weren't"}:
        positive = {"can't": "can"}.get(words[index], words[index][:-3])
        raw, words = [*raw[:index], positive, "not", *raw[index + 1 :]], [*words[:index], positive, "not", *words[index + 1 :]]
    at = main_auxiliary(words)
    if coordinated(words) or at is None or at + 1 >= len(words) or words[0] in {"this", "that", "these", "those"}:
        return None
    subject, verb, rest = raw[:at], words[at], raw[at + 1 :]
    if rest[0].lower() == "not":
        rest = rest[1:]  # asked without the negation: the question is the same, and yes and no stay clear
    if not rest or (verb in {"is", "are"} and rest[0].lower() in {"why", "because", "how", "what", "when", "where"}):
        return None
    return first_upper(" ".join([verb, first_lower(" ".join(subject)), *rest])) + "?"


def _starts_soundly(words: list[str]) -> bool:
    """Whether a clause begins with something like a subject, not with a bare verb (a request) or a loose end."""
    return (
        words[0] not in VERBS - {"love", "hate", "support", "abuse"}
        and (words[0] in PRONOUN_SUBJECTS or words[0] not in {"if", "when", "because", "as", "like", "you", "your"})
        and words[0] != "you"
    )


def _attitude(verb: str, thing: str) -> tuple[str | None, str]:
    words = words_of(thing)
    if set(words) & _OWN_LIFE or len(words) > 14:
        return None, "tells of the writer's own life"
    if "agree" in verb:
        return f"Do you agree with {first_lower(thing)}?", ""
    if "believe" in verb:
        return f"Do you believe in {first_lower(thing)}?", ""
    return f"Do you support {first_lower(thing)}?", ""
