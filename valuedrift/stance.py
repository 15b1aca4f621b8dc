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
LITTLE = 0.10
"""A difference of mean stance probabilities within ± this much counts as little, for a drift and for a value gap alike: one answer in ten changes its
stance. Phases that the paper calls flat are reported to have moved 0.02 to 0.05 (but SimPO on climate change 0.27), those it calls moved 0.15 to 0.53;
this lies midway between the two kinds."""
