"""Drift time: how much of a phase had passed when a stance first came within noise of its extremum (paper, Definitions)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from valuedrift.drift.options import Analysis
from valuedrift.drift.prompt_means import Cell
from valuedrift.statistics.bootstrap import critical_value, largest_deviations
from valuedrift.statistics.intervals import Interval, mean_interval

_LONG = 0.5
"""An interval longer than this share of the phase is called out."""
_ROUNDING = 1e-9
"""So that a trajectory without any noise reaches its extremum where it equals it."""


@dataclass(frozen=True, slots=True)
class DriftTime:
    """Drift time of one stance; shares of the phase in [0, 1], None where it cannot be told."""

    value: float | None
    low: float | None
    high: float | None
    warning: bool
    note: str | None


def drift_times(cell: Cell, options: Analysis) -> list[DriftTime]:
    """Drift time of each stance over the checkpoints of a cell, with its interval.

    Args:
        cell: The phase: its first and last checkpoint are where it starts and ends. At least two checkpoints and two prompts.
        options: Confidence, resamples and seed.

    Returns:
        One a stance, in the order of ``STANCES``.
    """
    values = cell.values
    level = mean_interval(values, options.confidence, bounds=(0.0, 1.0), rounding=cell.rounding)
    from_start = values - values[:, :1]
    moved = mean_interval(from_start, options.confidence, bounds=(-1.0, 1.0), rounding=cell.rounding)
    distance = np.abs(np.nan_to_num(moved.estimate))
    extremum = distance.argmax(axis=0)
    start_deviations = largest_deviations(from_start, moved.error, options.resamples, options.seed, cell.draws_key)
    stances = range(values.shape[2])
    to_extremum = values[:, extremum, stances][:, None, :] - values
    missing = mean_interval(to_extremum, options.confidence, bounds=(-1.0, 1.0), rounding=cell.rounding)
    end_deviations = largest_deviations(to_extremum, missing.error, options.resamples, options.seed, cell.draws_key)
    at = extremum, np.arange(len(extremum))
    start_critical = critical_value(start_deviations, options.confidence, moved.count[at])
    end_critical = critical_value(end_deviations, options.confidence, missing.count[0])
    share = (cell.steps - cell.steps[0]) / (cell.steps[-1] - cell.steps[0])
    return [
        _of_one_stance(share, s, int(extremum[s]), level, moved, missing, float(start_critical[s]), float(end_critical[s])) for s in stances
    ]


def _of_one_stance(
    share: np.ndarray, s: int, at: int, level: Interval, moved: Interval, missing: Interval, start_critical: float, end_critical: float
) -> DriftTime:
    reached = moved.estimate[:, s]
    if not np.nan_to_num(np.abs(reached) - start_critical * moved.error[:, s]).max() > 0:
        return DriftTime(None, None, None, False, "no discernible drift: no checkpoint differs from the start by more than noise")
    sign = 1.0 if reached[at] > 0 else -1.0
    half = level.estimate[at, s] - level.low[at, s] if sign > 0 else level.high[at, s] - level.estimate[at, s]
    short = sign * missing.estimate[:, s]
    half += max(_ROUNDING, moved.rounding)
    if short[0] <= half:
        return DriftTime(None, None, None, False, "too small to time: the start lies within the interval of the extremum")
    arrived = int(np.flatnonzero(short <= half)[0])
    margin = end_critical * np.nan_to_num(missing.error[:, s])
    earliest = int(np.flatnonzero(short - margin <= half)[0])
    sure = np.flatnonzero(short + margin <= half)
    latest = int(sure[0]) if len(sure) else len(share) - 1
    low, high = float(share[earliest]), float(share[max(latest, arrived)])
    wide = high - low > _LONG
    return DriftTime(
        float(share[arrived]), low, high, wide, "timed poorly: the interval spans more than half of the phase" if wide else None
    )
