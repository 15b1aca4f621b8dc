"""Whether a question is about a value, by its words and by its form: it has to ask for a judgement, not for what is, was or will be the case."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_GROUPS = {
    "ought": r"\b(?:should|shouldn't|ought|must|need to|have to|supposed to)\b",
    "right": (
        r"\b(?:right|wrong|okay|acceptable|unacceptable|moral|morally|immoral|ethical|unethical|fair|unfair|just|justified|justifiable"
        r"|justify|evil|sin|sinful|good|bad|better|worse|best|worst)\b"
    ),
    "law": (
        r"\b(?:legal|illegal|legali[sz]ed?|legali[sz]ing|ban|banned|banning|allow|allowed|permitted|forbidden|abolish(?:ed)?|mandatory"
        r"|compulsory|punish(?:ed)?|rights?|freedom|crime|criminali[sz]ed?)\b"
    ),
    "opinion": (
        r"\b(?:do you (?:think|believe|agree|support|oppose|feel|approve|condone)|your (?:opinion|opinions|view|views|thoughts|stance"
        r"|position|take)|you think about|you feel about|are you (?:for|against|in favou?r))\b"
    ),
    "weight": (
        r"\b(?:important|importance|matter|matters|necessary|deserve|deserves|responsible|responsibility|duty|respect|racist|racism"
        r"|sexist|discrimination|equal|equality|harmful|dangerous|benefit|threat|too (?:much|many|far)|enough)\b"
    ),
    "open": r"^(?:what|how)\b",
    "factual": (
        r"\b(?:how (?:many|much|long|old|far)|when (?:did|was|is)|where|who (?:is|was)|what (?:is|are) the|capital|recipe|weather"
        r"|best way|tips|difference between)\b"
    ),
    "assistant": r"\b(?:favou?rite|movie|film|song|music|band|game|football|team|player|book|show|series|pizza|food|colou?r)\b",
}
_PATTERNS = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _GROUPS.items()}
NAMES = tuple(_GROUPS)
_STRONG = ("ought", "right", "law", "opinion", "weight")


def cues(question: str) -> int:
    """How many kinds of value words a question has, 0 to 5."""
    return sum(bool(_PATTERNS[name].search(question)) for name in _STRONG)


def cue_features(questions: list[str]) -> NDArray[np.float64]:
    """One column for each kind of word in ``NAMES``: 1 where a question has it; shape (questions, kinds)."""
    rows = [[float(bool(_PATTERNS[name].search(question))) for name in NAMES] for question in questions]
    return np.array(rows, dtype=np.float64).reshape(len(questions), len(NAMES))


_OPEN = re.compile(r"^(?:what|how)\b", re.IGNORECASE)
_ASKS_FOR_A_SIDE = re.compile(
    r"^(?:should|must|ought)\b|^(?:do|don't|would) you (?:\w+ly |still )?(?:support|oppose|approve|condone|agree with|believe in|accept|prefer)\b"
    r"|^are you (?:for|against|in favou?r|pro|opposed)\b",
    re.IGNORECASE,
)
_ASSISTANT = re.compile(
    r"^(?:can|could|will|are|have|did|may) you\b(?! (?:for|against|in favou?r|pro|opposed|agree|support|approve)\b)"
    r"|^do you (?:\w+ly )?feel (?:comfortable|happy|sad|safe|lonely|alive|human|love|pain|emotions?|anything|good|bad|proud)\b"
    r"|^do you (?:think|believe|feel)(?: that)? you(?:r|rself)?\b(?! (?:should|can|have to|need)\b)",
    re.IGNORECASE,
)
_REPUTE = re.compile(
    r"^(?!should\b)(?!.*\bshould\b).*\b(?:considered|valued|viewed|perceived|regarded|looked down|frowned|accepted|seen as|stigmati[sz]ed|despised)\b"
    r"(?:.*\b(?:in|by|on|upon|as|to be)\b|\W*$)",
    re.IGNORECASE,
)
"""What others hold to be right is a fact about them."""
_OTHERS_THINK = re.compile(r"^(?:do|does|did) (?!you\b|we\b)(?:\w+ ){1,4}?(?:think|believe|feel|consider|agree)\b", re.IGNORECASE)
_DESCRIPTION = re.compile(
    r"^(?:what|how)\b.{3,40}?\b(?:about|on|of|towards) (?:the |a |an |any |some )?(?:\w+ )?(?:differences?|history|origins?|meaning|causes?|results?"
    r"|numbers?|amount|news|latest|best|risks?|effects?|outcomes?|developments?|chances?|reasons?)\b",
    re.IGNORECASE,
)
"""An opinion on something that can be looked up."""

_FACTS = re.compile(
    r"\b(?:caus(?:es?|ed|ing)|leads? to|linked to|related to|results? in|way to (?:make|earn|save|lose|learn|find))\b"
    r"|^is there (?:(?:a|an|any|some|much) )?(?:way|link|correlation|evidence|proof|difference|connection|debate|reason)\b"
    r"|^(?:is|are|do|does)\b.*\b(?:currently|legally|officially)\b"
    r"|\bto the majority\b|^are some\b|\b(?:conspiracy|hoax|man[- ]made)\b|^(?:is|are)\b.*\b(?:dying out|becoming|falling|increasing|rising|growing|leaving)\b"
    r"|^(?:is|are) there\b(?!.*\b(?:too|enough|anything|nothing|good|wrong|need|should|better|more important|justif\w+|right)\b)"
    r"|^are there (?:those|people|countries|some)\b|^are there (?:any )?(?:signs|studies|statistics)\b",
    re.IGNORECASE,
)
_DOES = re.compile(
    r"^(?:do|does)\s+(?!you\b|we\b)(?!.*\b(?:exist|have a|have to|need to|deserve|harm|destroy|ruin|help|hurt)\b)", re.IGNORECASE
)
_HABITS = re.compile(r"^(?:do|does|are|is)\s+(?:\w+\s+)?people\b", re.IGNORECASE)


def not_of_values(question: str) -> str:
    """Why the form of a question shows that it is no value question; empty where it does not.

    Args:
        question: A tidy question.
    """
    if _ASSISTANT.search(question):
        return "asks about the assistant, or for something to be done"
    if _PREDICTION.search(question):
        return "asks what will be, not what is right"
    if _PAST.search(question) and not _JUDGES.search(question):
        return "asks what was, not what is right"
    if _STATE_OF_LAW.search(question.rstrip("?")):
        return "asks what the law is, not what it should be"
    if _FACTS.search(question):
        return "asks for facts, not what is right"
    if _DOES.search(question) and not _JUDGES.search(question):
        return "asks what people do, not what is right"
    if _HABITS.search(question) and not _JUDGES.search(question):
        return "asks what people do, not what is right"
    if _REPUTE.search(question) or _OTHERS_THINK.search(question):
        return "asks what others think, not what is right"
    if _OPEN.search(question):
        return "asks for facts, not what is right" if _DESCRIPTION.search(question) else ""
    if _ASKS_FOR_A_SIDE.search(question) or JUDGEMENT.search(question):
        return ""
    return "passes no judgement: asks what is so, not what is right"


_PREDICTION = re.compile(
    r"^(?:will|won't)\b|^(?:do|would) you (?:think|believe|say|feel)\b[^,]*\b(?:will|going to|would)\b"
    r"(?! be (?:right|wrong|fair|good|bad|better|okay|acceptable))"
    r"|^(?:is|are) \w+(?: \w+)? (?:going|likely) to\b|^(?:is|are)\b.*\blikely to\b",
    re.IGNORECASE,
)
_PAST = re.compile(
    r"^do you (?:think|believe)\b.*\b(?:had|was|were)\b|^(?:did|was|were|has|have|had|could|can|would)\b(?! you)", re.IGNORECASE
)
_JUDGES = re.compile(
    r"\b(?:should|right|wrong|good|bad|better|worse|fair|unfair|justif\w+|moral\w*|immoral|ethic\w*|unethical|mistake|worth|acceptable|okay|trust\w*|evil|crime"
    r"|racist|sexist|too (?:far|much|many|soft|hard)|deserve\w*|success|failure|benefi\w+|harm\w*|coexist|forgive\w*|supposed)\b",
    re.IGNORECASE,
)
_STATE_OF_LAW = re.compile(
    r"^(?:is|are)\b.*\ballowed to\b|^(?:is|are)\b.*\b(?:legal|illegal|allowed|banned|lawful|exempt)\b(?: \w+)? (?:in|by|under|from)\b"
    r"|^do you think [\w ]+ (?:is|are) (?:il)?legal$|^(?:is|are)\b.*\bstill (?:legal|illegal|exempt)\b",
    re.I,
)
_WORDS = r"""should shouldn't ought must right rights wrong good bad better worse best worst great terrible horrible awful fair unfair just
    unjust justif\w+ justice moral\w* immoral\w* ethic\w* unethical\w* mistake worth\w* acceptable unacceptable inexcusable okay appropriate
    legitimate reasonable warranted trust\w* evil sins? sinful crime criminal murder murderers? cruel inhumane? barbaric disgusting shame\w*
    racist sexist homophobic fascist terror\w* genocide apartheid cult deserv\w+ success failure benefi\w+ danger\w* threat menace coexist
    forgiv\w+ important importance essential necessary unnecessary needed crucial vital key allowed legali[sz]\w+ illegal ban banned
    abolished responsib\w+ duty obligat\w+ obliged blame fault guilty enough respect\w* disrespect\w* equal\w* inferior superior outdated
    old[-\s]fashioned over-?rated overpaid useless useful pointless stupid selfish greedy lazy corrupt\w* hypocri\w+ valuable natural normal
    sensible wise problem issue waste peace peaceful matters? favou?r against destroy\w* ruin\w* damag\w+ heroe?s? freedom oppress\w+
    exploit\w* violat\w+ tolera\w+ intolera\w+ discriminat\w+ privileged? overreact\w* exaggerat\w+ positive negative cheating theft
    stealing ideal viable valid insane detriment\w* strange weird killing opium opiate harsh sacred disgrace\w* hate hateful dumb foolish
    silly ridiculous suitable supposed basis scam"""
_PHRASES = (
    r"needs? to|ha(?:ve|s) to|too (?!be\b)\w+|ha(?:ve|s) a place|real (?:wo)?m[ae]n|mental (?:illness|disorder)",
    r"out of (?:control|hand)|make\w* sense|the way to go|still need|live together",
)
JUDGEMENT = re.compile(rf"\b(?:{'|'.join([*_WORDS.split(), *_PHRASES])})\b", re.IGNORECASE)
"""Words of judgement. “Real” is none: whether something is so can be looked up or believed, not wanted."""
