"""How checks put their numbers into sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from valuedrift.findings.registry import Outcome, Verdict
from valuedrift.findings.tables import Effect, Tables
from valuedrift.words import signed, signed_interval


def told(effect: Effect) -> str:
    """An effect as it stands in a sentence."""
    return f"{signed(effect.estimate)} {signed_interval(effect.low, effect.high)}"


def ends(row: Mapping[str, Any]) -> tuple[float, float]:
    """Interval of a drift time; the time itself where it has none."""
    time, low, high = row["drift_time"], row["drift_time_low"], row["drift_time_high"]
    return (time if low is None else low, time if high is None else high)


def no_numbers(tables: Tables, run: dict[str, Any]) -> Verdict:
    """The verdict on a run that has no drift to look at."""
    return Verdict(Outcome.NOT_TESTED, f"{tables.title(run)} has too few judged checkpoints or questions to measure a drift.")
