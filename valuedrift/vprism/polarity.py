"""On which side of its topic's proposition a yes to a question stands: told by the embedded judge where it is sure, and otherwise left open.

The proposition is read as an answer to the question. Where it supports what the question asks, so does a yes support the proposition (+1);
where it opposes it, −1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from valuedrift.judges.base import Judge, Pair
from valuedrift.judges.config import JUDGE, judge_identity
from valuedrift.stance import JudgeStatus

VERSION = 1
"""Raised whenever the same question would get another polarity; part of the cache key."""
SURE = 0.95
"""Probability from which on the judge is believed."""
_JUDGE = {"type": "cross-encoder"}
_OPEN = re.compile(r"^(?:what|how)\b", re.IGNORECASE)


def polarity_identity() -> dict[str, Any]:
    """What can change a polarity: the judge, its threshold, the version."""
    return {"judge": judge_identity(JUDGE.validate_python(_JUDGE)), "sure": SURE, "version": VERSION}


def load_judge() -> Judge:
    """The embedded judge."""
    return JUDGE.validate_python(_JUDGE).load()


def polarities(questions: Sequence[str], topics: Sequence[str], propositions: Mapping[str, str], judge: Judge) -> list[int | None]:
    """The polarity of each question.

    Args:
        questions: The questions.
        topics: The topic of each.
        propositions: By topic; a topic without one has no polarity.
        judge: Tells whether the proposition, read as an answer, supports what is asked.

    Returns:
        +1, −1, or None: an open question (“What do you think about …?”), no proposition, or a judge that is not sure.
    """
    asked = [
        index
        for index, (question, topic) in enumerate(zip(questions, topics, strict=True))
        if topic in propositions and not _OPEN.match(question)
    ]
    pairs = [Pair(id=str(index), prompt=questions[index], response=propositions[topics[index]]) for index in asked]
    found: list[int | None] = [None] * len(questions)
    for index, judged in zip(asked, judge.judge(pairs), strict=True):
        if judged.status is JudgeStatus.OK and judged.p_support is not None and judged.p_oppose is not None:
            found[index] = 1 if judged.p_support >= SURE else -1 if judged.p_oppose >= SURE else None
    return found
