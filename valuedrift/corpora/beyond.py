"""What a row holds beyond what is learnt from it: columns that nobody read, scores that contradict a pair, earlier answers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from valuedrift.corpora.dataset import Learn
from valuedrift.corpora.marks import NAMES, SOME
from valuedrift.corpora.messages import ASSISTANT
from valuedrift.corpora.record import Record, holds

_SCORE = re.compile(r"scor|rating|reward|grade|quality|votes|margin", re.IGNORECASE)
_MARGIN = re.compile(r"\A(?:score|reward|rating)?[_-]?margin\Z", re.IGNORECASE)
EARLIER = "earlier answers of the conversation not learnt (learn: last)"


def beyond(record: Record, row: Mapping[str, Any], learn: Learn) -> Iterator[str]:
    """Notes on a row that was read, each once.

    Args:
        record: As it was read.
        row: What became of it, in normal form.
        learn: Which answers of a conversation are learnt.
    """
    yield from record.notes
    compared: set[str] = set()
    if "chosen" in row:
        told = list(_scores(record.values))
        compared = {name for names, _ in told for name in names}
        yield from {note for _, note in told if note}
    answers = sum(turn["role"] == ASSISTANT for turn in row.get("messages", ()))
    if answers > len(row.get("learn", [answers])):
        yield EARLIER if learn == "last" else SOME
    for name, value in record.values.items():
        taken = (
            name in record.read
            or name in compared
            or (name == "topic" and isinstance(value, str))
            or (name in NAMES and not isinstance(value, list))
        )
        if not taken and holds(value):
            yield f"`{name}` not read"


def _scores(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The columns that say how good the two answers are, and what they say against the pair; empty where they agree with it."""
    for name, value in values.items():
        score = _number(value)
        if score is None or not _SCORE.search(name):
            continue
        if _MARGIN.match(name):
            yield (name,), _against(score, 0.0, f"`{name}` below 0", f"`{name}` is 0")
            continue
        other = name.replace("chosen", "rejected")
        rejected = _number(values.get(other))
        if other != name and rejected is not None:
            yield (name, other), _against(score, rejected, f"`{name}` below `{other}`", f"`{name}` equals `{other}`")


def _against(better: float, worse: float, contradicted: str, tied: str) -> str:
    if better < worse:
        return f"scores contradict the pair ({contradicted})"
    return f"scores tie the pair ({tied})" if better == worse else ""


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
