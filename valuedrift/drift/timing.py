"""Drift time: how much of a phase had passed when a stance first came within noise of its extremum (paper, Definitions)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from valuedrift.drift.options import Analysis
from valuedrift.drift.prompt_means import Cell
from valuedrift.statistics import Array
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


@dataclass(frozen=True, slots=True)
class Away:
    """How far every checkpoint lies from one of reference, a stance each its own.

    Attributes:
        values: What each prompt contributes: the mean over prompts is the difference; NaN where missing. Shape (P, T, S).
        interval: The differences with their errors. Shape (T, S).
        spread: Standard errors that the values themselves show, which resamples of them are divided by. Shape (T, S).
    """

    values: Array
    interval: Interval
    spread: Array


class Means(Protocol):
    """Mean stances over the checkpoints of a phase, however they were come by."""

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps of the checkpoints, rising. Shape (T,)."""

    @property
    def draws_key(self) -> tuple[str, str]:
        """See `Cell.draws_key`."""

    def level(self, confidence: float) -> Interval:
        """The means at every checkpoint. Shape (T, S)."""

    def away(self, at: NDArray[np.int64], confidence: float) -> Away:
        """How far every checkpoint lies from those at ``at``, one a stance. Shape of ``at``: (S,)."""


@dataclass(frozen=True, slots=True)
class _AsJudged:
    """The means of a cell as its judge gives them."""

    cell: Cell

    @property
    def steps(self) -> NDArray[np.int64]:
        return self.cell.steps

    @property
    def draws_key(self) -> tuple[str, str]:
        return self.cell.draws_key

    def level(self, confidence: float) -> Interval:
        return mean_interval(self.cell.values, confidence, bounds=(0.0, 1.0), rounding=self.cell.rounding)

    def away(self, at: NDArray[np.int64], confidence: float) -> Away:
        values = self.cell.values
        differences = values - values[:, at, np.arange(len(at))][:, None, :]
        found = mean_interval(differences, confidence, bounds=(-1.0, 1.0), rounding=self.cell.rounding)
        return Away(differences, found, found.error)


def drift_times(cell: Cell, options: Analysis) -> list[DriftTime]:
    """Drift time of each stance over the checkpoints of a cell, with its interval.

    Args:
        cell: The phase: its first and last checkpoint are where it starts and ends. At least two checkpoints and two prompts.
        options: Confidence, resamples and seed.

    Returns:
        One a stance, in the order of ``STANCES``.
    """
    return times_of(_AsJudged(cell), options)


def times_of(means: Means, options: Analysis) -> list[DriftTime]:
    """The same from means that are known with their errors.

    Args:
        means: Of the phase, from its first to its last checkpoint.
        options: As for `drift_times`.
    """
    level = means.level(options.confidence)
    stances = level.estimate.shape[1]
    start = means.away(np.zeros(stances, dtype=np.int64), options.confidence)
    moved = start.interval
    distance = np.abs(np.nan_to_num(moved.estimate))
    extremum = distance.argmax(axis=0)
    start_deviations = largest_deviations(start.values, start.spread, options.resamples, options.seed, means.draws_key)
    end = means.away(extremum, options.confidence)
    missing = end.interval
    end_deviations = largest_deviations(end.values, end.spread, options.resamples, options.seed, means.draws_key)
    at = extremum, np.arange(stances)
    start_critical = critical_value(start_deviations, options.confidence, moved.count[at])
    end_critical = critical_value(end_deviations, options.confidence, missing.count[0])
    share = (means.steps - means.steps[0]) / (means.steps[-1] - means.steps[0])
    return [
        _of_one_stance(share, s, int(extremum[s]), level, moved, missing, float(start_critical[s]), float(end_critical[s]))
        for s in range(stances)
    ]


def _of_one_stance(
    share: np.ndarray, s: int, at: int, level: Interval, moved: Interval, missing: Interval, start_critical: float, end_critical: float
) -> DriftTime:
    reached = moved.estimate[:, s]
    if not np.nan_to_num(np.abs(reached) - start_critical * moved.error[:, s]).max() > 0:
        return DriftTime(None, None, None, False, "no discernible drift: no checkpoint differs from the start by more than noise")
    sign = 1.0 if reached[at] > 0 else -1.0
    half = level.estimate[at, s] - level.low[at, s] if sign > 0 else level.high[at, s] - level.estimate[at, s]
    short = -sign * missing.estimate[:, s]
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
