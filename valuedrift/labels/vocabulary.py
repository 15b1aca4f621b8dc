"""What people may say of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from valuedrift.stance import STANCES, JudgeStatus

UNCLEAR = "unclear"
"""The answer was read, and its stance cannot be told."""
LABELS: tuple[str, ...] = (*(stance.value for stance in STANCES), JudgeStatus.REFUSED.value, UNCLEAR)
"""What the table labels may hold."""
_ALSO: Mapping[str, str] = MappingProxyType({"skip": UNCLEAR, "unsure": UNCLEAR, "refuse": "refused", "refusal": "refused"})


def label_of(text: str) -> str | None:
    """The label that a cell means, in any case and with blanks around it; None where it is none.

    Args:
        text: A cell of a sheet, not empty.
    """
    word = text.strip().strip("'\"").casefold()
    word = _ALSO.get(word, word)
    return word if word in LABELS else None
