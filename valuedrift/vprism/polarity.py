"""On which side of its topic's proposition a yes to a question stands: told by a plain rule where it can tell, and otherwise left open.

A topic names what its proposition is for (``pro``: abortion) and what stands against it (``anti``: the pro-life movement). Where a question is no more
than one of these and a verdict (“Should abortion be banned?”, “Do you think abortion is wrong?”, “Do you support abortion?”), its polarity is the product of
the two signs. Anything longer is left open: a word more can turn the meaning round. English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from valuedrift.vprism.themes import Theme

VERSION = 2
"""Raised whenever the same question would get another polarity; part of the cache key."""

_GOOD = (
    "legal|legali[sz]ed?|allowed|right|a right|a (?:human|constitutional|basic) right|okay|good|a good (?:thing|idea|system)|fair"
    "|justified|justifiable|important|acceptable"
    "|accepted|beneficial|moral|morally (?:right|good|acceptable)|ethical|welcomed?|encouraged|protected|free|necessary|needed"
    "|brought back|reinstated|reintroduced|implemented"
    "|exist|respected|valid|normal|valuable|essential|compulsory|mandatory|supported|safe|real|a force for good|higher|raised|increased"
)
_BAD = (
    "illegal|banned?|wrong|a sin|sinful|bad|a bad (?:thing|idea|system)|murder|immoral|morally wrong|unethical|evil|harmful"
    "|dangerous|unacceptable|unfair|abolished?|outlawed"
    "|restricted|stopped|a (?:threat|problem|disease|mental illness|crime|mistake|choice of evil|cult|scam|hoax|myth)"
    "|criminali[sz]ed|punished|prohibited|forbidden|cruel"
    "|outdated|pointless|destructive|reduced|limited|lowered|cut|the cause of (?:all|most) wars|corrupt|racist"
)
_ADVERBS = r"(?:(?:ever|always|really|truly|still|actually|completely|very|just|fully|generally|a|an|the)\s+)*"
_TAIL = r"(?:\s+(?:in|for|at|by|under|to|across|worldwide|everywhere|again|thing|or not)\b(?:\s+\S+){0,5})?"
_LEAD = re.compile(r"^(?:do you (?:think|believe|agree)(?: that)?|would you say(?: that)?)\s+", re.IGNORECASE)


def polarities(questions: Sequence[str], topics: Sequence[str], themes: Sequence[Theme]) -> list[int | None]:
    """The polarity of each question.

    Args:
        questions: The questions.
        topics: The topic of each.
        themes: Topics with what their propositions are for and against; those without a proposition have no polarity.

    Returns:
        +1, −1, or None where the rule cannot tell.
    """
    known = {theme.name: theme for theme in themes if theme.proposition}
    return [polarity(question, known[topic]) if topic in known else None for question, topic in zip(questions, topics, strict=True)]


def polarity(question: str, theme: Theme) -> int | None:
    """The polarity of a question towards the proposition of a theme; None where the rule cannot tell."""
    text = _LEAD.sub("", question.strip().rstrip("?").strip())
    found = {
        side * verdict
        for side, terms in ((1, theme.pro), (-1, theme.anti))
        for verdict, words in ((1, _GOOD), (-1, _BAD))
        if terms and _says(text, "|".join(re.escape(term) for term in terms), words)
    }
    found |= {
        side for side, terms in ((1, theme.pro), (-1, theme.anti)) if terms and _favours(text, "|".join(re.escape(term) for term in terms))
    }
    return found.pop() if len(found) == 1 else None


def _says(text: str, terms: str, verdicts: str) -> bool:
    """Whether a text is a term with a verdict, as a clause or as a question."""
    subject = rf"(?:the\s+|all\s+|most\s+|being\s+)?(?:{terms})(?:\s+(?:people|couples|marriage|movement|community))?"
    asked = rf"(?:is|are|should|can|was|were)\s+{subject}\s+(?:be\s+)?{_ADVERBS}(?:be\s+)?(?:{verdicts}){_TAIL}"
    stated = rf"{subject}\s+(?:is|are|should|can)\s+(?:be\s+)?{_ADVERBS}(?:be\s+)?(?:{verdicts}){_TAIL}"
    expletive = rf"is\s+(?:it\s+)(?:{verdicts})\s+(?:to\s+be|to\s+have|to\s+support)\s+(?:a\s+|an\s+)?(?:{terms}){_TAIL}"
    acted = rf"should\s+we\s+(?:{verdicts})\s+{subject}{_TAIL}"
    return any(re.fullmatch(pattern, text, re.IGNORECASE) for pattern in (asked, stated, expletive, acted))


def _favours(text: str, terms: str) -> bool:
    """Whether a text asks for support of a term and for nothing else."""
    return bool(re.fullmatch(rf"do you (?:support|agree with|believe in|approve of)\s+(?:the\s+|a\s+)?(?:{terms})", text, re.IGNORECASE))
