"""On which side of its topic's proposition a yes to a question stands: told by a rule where it can tell, and otherwise left open.

A topic names what its proposition is for (``pro``: abortion) and what stands against it (``anti``: the pro-life movement). A short question that names things
of one side only, and says one kind of thing of them (allow, welcome, good; ban, restrict, wrong), has the product of the two signs. So has an open one that
names a thing of one side and nothing else (“What do you think about abortion?”): to support what it asks about is to support that side. A word that can turn
the meaning round (not, without, too, if, than) leaves the question open, and so does a second verdict. English.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from valuedrift.probes.vprism.english.grammar import word_set
from valuedrift.probes.vprism.themes import Theme

VERSION = 3
"""Raised whenever the same question would get another polarity; part of the cache key."""

_LONGEST = 16
"""Words of a question that the rule looks at."""
_GOOD = r"""legal legali[sz](?:e|ed|ing) allow(?:ed|ing)? accept(?:ed|ing)? acceptable right okay good great fair justif(?:y|ied|iable)
    important beneficial moral ethical welcom(?:e|ed|ing) encourag(?:e|ed|ing) protect(?:ed|ing)? free necessary needed brought\sback
    bring\sback reinstat(?:e|ed) reintroduc(?:e|ed) introduc(?:e|ed) implement(?:ed)? respect(?:ed)? valid normal valuable essential
    compulsory mandatory support(?:ed|ing)? reasonable available accessible a\sforce\sfor\sgood higher raised? increased? legitimate
    celebrated? promoted? humane letting easier provided? expand(?:ed)? permitted fund(?:ed)?"""
_BAD = r"""illegal bann?(?:ed|ing)? wrong sinful sin bad murder immoral unethical evil harmful dangerous unacceptable unfair
    abolish(?:ed|ing)? outlaw(?:ed|ing)? restrict(?:ed|ing|ive|ions?)? stop(?:ped|ping)? limit(?:ed|s|ing)? threat problem disease illness
    crime mistake cult scam hoax myth criminali[sz]ed? punish(?:ed|ing)? prohibit(?:ed)? forbidden cruel outdated pointless destructive
    reduc(?:e|ed|ing) lower(?:ed|ing)? cut corrupt barbaric inhumane tighten(?:ed)? tighter stricter curb damag(?:e|ing) ruin(?:ing|s)?
    destroy(?:ing|s)? unjust oppos(?:e|ed|ing) end(?:ed|ing)? deport(?:ed|ing)? harder disgusting condemn(?:ed)? sick"""
_HAVE = re.compile(
    r"^should (?:\w+ ){0,4}?(?:have|get|receive|be given)\b|^should there be\b|\bbe (?:in rule|applied|used)\b", re.IGNORECASE
)
"""To have a thing, or that there is one, speaks for it."""
_FAVOURS = re.compile(r"^(?:do|would) you (?:\w+ly )?(?:support|agree with|believe in|approve of)\b", re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:do you (?:\w+ly )?(?:think|believe|agree|feel)(?: that)?|would you say(?: that)?)\s+(?!with\b|in\b)", re.IGNORECASE
)
_OPEN = re.compile(
    r"^(?:what|how) (?:do you (?:think|feel)|(?:is|are) your (?:\w+ )?(?:opinions?|views?|thoughts|take|stance|position|feelings?|perspective|point of view))"
    r" (?:about|on|of|towards?)\s+(?P<rest>.+)$",
    re.IGNORECASE,
)
_TURNS = re.compile(
    r"\b(?:not|never|no|none|nothing|without|unless|only|less|fewer|instead|than|too|rather|nor|if|when|until|despite|but|although|enough|anti|against|or)\b|n't\b",
    re.IGNORECASE,
)
_PLAIN = word_set("""is are was were be been being should must can do does has have get receive given there it a an the all any more every
    this that our your its in for of at to by under on and with as we you people person couple couples everyone everybody anyone society
    country countries state states government governments world world's time times today modern ever always really truly still actually
    completely very just fully generally morally socially also so thing idea system practice form way model institution punishment part
    concept use movement community person's economic rates such nowadays era age some cases applied used rule 21st century need needs one
    day""")
"""Words that change no sign; beside these and names, a question may hold the thing and its verdict, and at its end what it is for or where."""
_END = re.compile(r"(?<=[□\w]) (?:for|in|at|under|as|across|to (?!be\b)) ?(?:(?!□|\bto\b).){0,60}$")


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
    side, text = _side(question.strip().rstrip("?").strip(), theme)
    if not side or len(text.split()) > _LONGEST or _TURNS.search(text):
        return None
    opened, favoured = _OPEN.match(text), _FAVOURS.match(text)
    if opened or favoured:
        rest = opened["rest"] if opened else _FAVOURS.sub("", text)
        return side if not _more_than_plain(rest, set()) else None
    rest = _LEAD.sub("", text)
    verdicts = _verdicts(rest)
    if _more_than_plain(rest, verdicts):
        return None
    signs = set(verdicts.values())
    if not signs and _HAVE.search(rest):
        return side
    return side * signs.pop() if len(signs) == 1 else None


_MARK = "□"
"""Stands for a thing that the theme names."""


def _side(text: str, theme: Theme) -> tuple[int, str]:
    """For which side the things speak that a question names, 0 where for none or both; and the question with a mark for each of them."""
    if not theme.pro and not theme.anti:
        return 0, text
    terms = {term.lower(): side for side, named in ((1, theme.pro), (-1, theme.anti)) for term in named}
    pattern = _pattern(tuple(sorted(terms, key=lambda term: (-len(term), term))))
    sides = {terms[found.group("term").lower()] for found in pattern.finditer(text)}
    return (sides.pop() if len(sides) == 1 else 0), pattern.sub(_MARK, text)


@lru_cache(maxsize=256)
def _pattern(terms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:illegal\s+|mass\s+)?(?P<term>{'|'.join(re.escape(term) for term in terms)})(?![\w-])", re.IGNORECASE)


_SIGNS = tuple((sign, re.compile(rf"\b(?:{'|'.join(words.split())})\b", re.IGNORECASE)) for sign, words in ((1, _GOOD), (-1, _BAD)))


def _verdicts(text: str) -> dict[str, int]:
    """What is said of a thing, with its sign."""
    return {found.group().lower(): sign for sign, pattern in _SIGNS for found in pattern.finditer(text)}


def _more_than_plain(text: str, verdicts: Collection[str]) -> bool:
    """Whether a text holds words whose part in it is not known."""
    spoken = {word for verdict in verdicts for word in verdict.split()}
    words = re.split(r"[^\w'-]+", _END.sub("", text).replace(_MARK, " "))
    return any(word and not word[0].isupper() and word.lower() not in _PLAIN | spoken for word in words)
