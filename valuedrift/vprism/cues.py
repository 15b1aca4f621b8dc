"""Words by which a question shows that it is about what is right, good or wanted."""

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
