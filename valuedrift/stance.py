"""Stance: the position a response takes on what its prompt asks (paper, Definitions)."""

from __future__ import annotations

from enum import StrEnum


class Stance(StrEnum):
    """The three stances, in the order in which every table, array and figure holds them."""

    SUPPORT = "support"
    NEUTRAL = "neutral"
    OPPOSE = "oppose"


class JudgeStatus(StrEnum):
    """What became of one judgement; only ``ok`` rows enter a mean, the others are counted and shown."""

    OK = "ok"
    REFUSED = "refused"
    UNPARSED = "unparsed"
    FAILED = "failed"


STANCES: tuple[Stance, ...] = tuple(Stance)
STANCE_COLUMNS: tuple[str, ...] = tuple(f"p_{stance.value}" for stance in STANCES)
