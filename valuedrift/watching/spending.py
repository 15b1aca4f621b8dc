"""How the error that a training is allowed is spent over its looks: the levels at which each of them may speak.

A run that is watched is tested after every checkpoint, for every topic and stance; at 95% each, a hundred checkpoints of a run that never moves would raise
dozens of alarms. Here the error that is allowed to a whole training is spent over its looks (alpha spending: Lan and DeMets 1983), so that all intervals of
a training hold together with the stated confidence (repeated confidence intervals: Jennison and Turnbull 1989). See docs/alerts.md for the formulas, why
this way and no other, and what was simulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from valuedrift.statistics import Array

MEAN_OF = (1, 2)
"""Over how many checkpoints a change is the mean: the one looked at, or it and the one before."""
NOISE = (2.0, 1.5)
"""Variance of such a change in that of one checkpoint: the start's 1, and 1 or a half."""
OPEN_LOOKS = 100
"""Where nobody says how many looks there will be, three quarters of the error are spent over this many."""
_EARLY = 0.7
"""Power of the spending function of planned looks (Kim and DeMets 1987): below 1 the first looks get more, whose variance is least known."""
_BEYOND = 0.05
"""Share of the error kept for looks beyond those that were planned."""
_ALONE = 0.1
"""Share of a look's level for the checkpoint alone; the rest is for the mean of the last two, which is the sharper of the two tests."""
START = np.linspace(-8.0, 8.0, 161)
"""Errors of the start, in standard deviations, over which is integrated."""
_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Spending:
    """How the error that a training is allowed is spent over its looks.

    Attributes:
        confidence: Probability with which all intervals of a training hold, in (0, 1).
        cells: How many (judge, topic, stance) of the training are looked at, at least 1; each gets the same share.
        planned: How many looks are planned, at least 1; None where nobody knows. More looks than planned stay within the error too.
    """

    confidence: float
    cells: int
    planned: int | None = None

    def spent(self, looks: Array) -> Array:
        """The share of the error that is spent after so many looks: rising from 0, never over 1."""
        if self.planned is None:
            return np.asarray(1 - (1 + looks / OPEN_LOOKS) ** -2.0)
        beyond = np.maximum(looks - self.planned, 0) / self.planned
        return np.asarray((1 - _BEYOND) * np.minimum(looks / self.planned, 1) ** _EARLY + _BEYOND * (1 - (1 + beyond) ** -2.0))

    def levels(self, looks: int) -> Array:
        """Levels of the intervals of one cell at each of the first looks, one for each of ``MEAN_OF``.

        They are those at which the probability that the first miss of a cell comes at a look is what is spent there. All looks are compared with one start:
        if that was far off, many miss, and only the first counts (Dunnett 1955, look after look). Given the start's error looks are independent, and the
        two tests of a look are counted as if they never missed together, which errs on the safe side.

        Returns:
            Shape (looks, 2). Levels of later looks never change those of earlier ones.
        """
        # Up to the next power of two, so that a run that grows look by look is computed few times.
        return _levels(self, 1 << (max(looks, 1) - 1).bit_length())[:looks]


@lru_cache(maxsize=256)
def _levels(spending: Spending, looks: int) -> Array:
    shares = np.diff(spending.spent(np.arange(looks + 1, dtype=float))) * (1 - spending.confidence) / spending.cells
    unmissed = np.exp(-(START**2) / 2)
    unmissed /= unmissed.sum()
    levels = np.zeros((looks, len(MEAN_OF)))
    for look, share in enumerate(shares):
        split = np.array([_ALONE, 1 - _ALONE] if look else [1.0, 0.0])
        low, high = np.log(share), 0.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            enough = (unmissed * _missed(np.exp(middle) * split)).sum() > share
            low, high = (low, middle) if enough else (middle, high)
        levels[look] = np.exp(low) * split
        unmissed *= 1 - _missed(levels[look])
    levels.flags.writeable = False
    return levels


def _missed(levels: Array) -> Array:
    """Probability that a look of these levels misses, at most, by the start's error."""
    missed = np.zeros_like(START)
    for level, noise in zip(levels, NOISE, strict=True):
        if level > 0:
            away = -ndtri(level / 2) * np.sqrt(noise)
            missed += ndtr(-(away - START) / np.sqrt(noise - 1)) + ndtr(-(away + START) / np.sqrt(noise - 1))
    return np.minimum(missed, 1.0)
