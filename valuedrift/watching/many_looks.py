"""Looking often is paid for: how far a run has moved from its start at each checkpoint, with intervals that hold over all looks together.

A run that is watched is tested after every checkpoint, for every topic and stance; at 95% each, a hundred checkpoints of a run that never moves would raise
dozens of alarms. Here the error that is allowed to a whole training is spent over its looks (alpha spending: Lan and DeMets 1983), so that all intervals of
a training hold together with the stated confidence (repeated confidence intervals: Jennison and Turnbull 1989). See docs/alerts.md for the formulas, why
this way and no other, and what was simulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import chdtri, ndtr, ndtri, stdtrit

from valuedrift.errors import UserError
from valuedrift.statistics import Array
from valuedrift.statistics.intervals import TINY
from valuedrift.statistics.significance import DRIFT_SD, WITHIN_SD

OPEN_LOOKS = 100
"""Where nobody says how many looks there will be, three quarters of the error are spent over this many."""
_EARLY = 0.7
"""Power of the spending function of planned looks (Kim and DeMets 1987): below 1 the first looks get more, whose variance is least known."""
_BEYOND = 0.05
"""Share of the error kept for looks beyond those that were planned."""
_ALONE = 0.1
"""Share of a look's level for the checkpoint alone; the rest is for the mean of the last two, which is the sharper of the two tests."""
_EXCESS = 0.2
"""Level at which a look's own variance must exceed that of all looks before it counts."""
MEAN_OF = (1, 2)
"""Over how many checkpoints a change is the mean: the one looked at, or it and the one before."""
_NOISE = (2.0, 1.5)
"""Variance of such a change in that of one checkpoint: the start's 1, and 1 or a half."""
_START = np.linspace(-8.0, 8.0, 161)
"""Errors of the start, in standard deviations, over which is integrated."""
_HALVINGS = 30
_OUTCOMES = 8
_NEVER = 1e-300
"""In place of a level of 0: no interval."""


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
    unmissed = np.exp(-(_START**2) / 2)
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
    missed = np.zeros_like(_START)
    for level, noise in zip(levels, _NOISE, strict=True):
        if level > 0:
            away = -ndtri(level / 2) * np.sqrt(noise)
            missed += ndtr(-(away - _START) / np.sqrt(noise - 1)) + ndtr(-(away + _START) / np.sqrt(noise - 1))
    return np.minimum(missed, 1.0)


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes from the start of a run at each look, with their many-look intervals.

    The first axis is the look; the second over how many checkpoints the change is the mean (``MEAN_OF``); the others are those of the values.

    Attributes:
        change: Mean over prompts of the stance now minus at the start, in [−1, 1]; NaN without a prompt that has both.
        low: Lower end.
        high: Upper end.
        count: Prompts that entered.
    """

    change: Array
    low: Array
    high: Array
    count: Array


def changes(values: Array, levels: Array, *, rounding: float = TINY) -> Changes:
    """How far prompts moved from the first checkpoint, at each later one.

    The intervals are change ± t · error. The error's variance is that of an answer's mean around its prompt, from all checkpoints so far (what a look of a
    run without drift is made of; degrees of freedom grow with the looks), or the look's own over prompts where that exceeds it by more than chance: where
    prompts drift by unequal amounts.

    A look never changes those before it: more checkpoints only add rows.

    Args:
        values: Prompt means in [0, 1] by checkpoint, the first is the start; NaN where missing. Shape (P, 1 + K, ...).
        levels: Of the intervals at each look, see `Spending.levels`. Shape (K, 2).
        rounding: Changes and errors up to this are zero: how finely the values were written, see `valuedrift.statistics.rounding`.

    Returns:
        Arrays of shape (K, 2, ...). Below two prompts an interval is [−1, 1]; for the first look there is no mean of two, and its change is NaN.
    """
    moved = _Centred(values[:, 1:] - values[:, :1])
    with_before = np.full_like(moved.values, np.nan)
    with_before[:, 1:] = (moved.values[:, 1:] + moved.values[:, :-1]) / 2
    noise, freedom = _noise(moved)
    by_look = levels.reshape(*levels.shape, *[1] * (moved.mean.ndim - 1))
    found = [
        _interval(differences, noise * scale, freedom, by_look[:, which], rounding)
        for which, (differences, scale) in enumerate(zip((moved, _Centred(with_before)), _NOISE, strict=True))
    ]
    return Changes(*(np.stack(part, axis=1) for part in zip(*found, strict=True)))


class _Centred:
    """Differences of prompts at each look, and how they lie around their mean.

    Attributes:
        values: The differences, NaN where missing. Shape (P, K, ...).
        there: Which are not missing.
        count: How many of a look those are. Shape (K, ...).
        mean: Their mean, NaN without any.
        away: What is left of each without the mean, 0 where missing. Shape (P, K, ...).
        squares: Its sum of squares. Shape (K, ...).
    """

    def __init__(self, values: Array) -> None:
        self.values = values
        self.there = ~np.isnan(values)
        self.count = self.there.sum(axis=0).astype(float)
        whole = bool(self.there.all())
        with np.errstate(invalid="ignore", divide="ignore"):
            self.mean = (values if whole else np.where(self.there, values, 0.0)).sum(axis=0) / self.count
        away = values - self.mean
        self.away = away if whole else np.where(self.there, away, 0.0)
        self.squares = np.einsum("pk...,pk...->k...", self.away, self.away)


def _noise(moved: _Centred) -> tuple[Array, Array]:
    """Variance of a prompt's mean at a checkpoint, from the checkpoints up to each look, and its degrees of freedom. Both of shape (K, ...).

    It is the residual of prompts × checkpoints: what a prompt is, and what all prompts do together at a look, whatever it is, are taken out.
    """
    checkpoints = 1.0 + np.cumsum(moved.there, axis=1)
    total = np.cumsum(moved.away, axis=1)
    total *= total
    squares = np.cumsum(moved.squares, axis=0) - np.divide(total, checkpoints, out=total).sum(axis=0)
    freedom = np.cumsum(np.maximum(moved.count - 1.0, 0.0), axis=0)
    return np.maximum(squares, 0.0) / np.maximum(freedom, 1.0), freedom


def _interval(differences: _Centred, noise: Array, freedom: Array, level: Array, rounding: float) -> tuple[Array, Array, Array, Array]:
    """Mean, lower and upper end of its many-look interval, and prompts, at each look."""
    change, count = differences.mean, differences.count
    size = np.maximum(count, 2.0)
    chance = chdtri(np.arange(1, len(differences.values) + 1), _EXCESS)
    pooled, sure = noise / size, differences.squares / size / chance[size.astype(int) - 2]
    excess = np.maximum(sure - pooled, 0.0)
    variance = pooled + excess
    error = np.sqrt(variance)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Welch and Satterthwaite: the noise is known by many looks, what comes on top by one.
        free = variance**2 / (pooled**2 / freedom + excess**2 / (size - 1))
        reach = _quantile(np.where(error > rounding, free, 1.0), level) * error
    # Without any variance as in `valuedrift.statistics.intervals`: the point where signs alone tell it from 0, else what "none in n prompts" leaves.
    told = (np.abs(change) > rounding) & (2.0 ** (1 - count) <= level)
    unseen = 1 - (level / 2) ** (1 / size)
    reach = np.where(error > rounding, reach, np.where(told, 0.0, unseen * (1 + np.abs(change))))
    known = (count > 1) & (level > 0)
    low = np.where(known, np.clip(change - reach, -1.0, 1.0), -1.0)
    high = np.where(known, np.clip(change + reach, -1.0, 1.0), 1.0)
    return change, low, high, count


def _quantile(freedom: Array, level: Array) -> Array:
    """Two-sided t quantiles, each different one computed once: most looks have no variance of their own on top, and they are slow so far out."""
    wanted, place = np.unique(freedom.round(6) + 1j * level, return_inverse=True)
    return np.asarray(stdtrit(wanted.real, 1 - wanted.imag / 2)[place.reshape(np.broadcast_shapes(freedom.shape, level.shape))])


def smallest_discernible_drift(
    spending: Spending,
    n_prompts: int,
    n_samples: int,
    *,
    look: int | None = None,
    power: float = 0.8,
    within_sd: float = WITHIN_SD,
    drift_sd: float = DRIFT_SD,
) -> float:
    """The smallest lasting drift that is told from 0 at the first or second checkpoint that shows it.

    Args:
        spending: How the error is spent; its ``cells`` are topics × stances (× judges).
        n_prompts: Prompts of a topic, at least 2.
        n_samples: Answers a prompt and checkpoint, at least 1.
        look: The look at which it is there for the first time, from 1; by default the last that is planned, or ``OPEN_LOOKS``.
        power: Probability of telling it.
        within_sd: Standard deviation of one answer's probability around its prompt's mean, in [0, 0.5].
        drift_sd: Standard deviation of the prompts' own drifts around the topic's, in [0, 1].

    Returns:
        A change in (0, 1]; 1 where even the largest cannot be told so.

    Raises:
        UserError: Fewer than two prompts or no sample.
    """
    if n_prompts < 2 or n_samples < 1:
        raise UserError(f"{n_prompts} prompts × {n_samples} samples can show no drift", fix="at least 2 prompts and 1 sample")
    first = (spending.planned or OPEN_LOOKS) if look is None else look
    levels = spending.levels(first + 1)[first - 1 :]
    noise, own = within_sd**2 / n_samples, drift_sd**2
    errors = _START[::2]
    weight = np.exp(-(errors**2) / 2)
    weight /= weight.sum()
    error = np.sqrt(noise / n_prompts)
    # The drawn prompts' own drifts are off by the same amount at both checkpoints, as the start is.
    start, one = errors[:, None] * np.sqrt((noise + own) / n_prompts), errors[None, :] * error
    # How far a look's own variance comes out from what it is.
    factors = chdtri(n_prompts - 1, (np.arange(_OUTCOMES) + 0.5) / _OUTCOMES) / chdtri(n_prompts - 1, _EXCESS)
    reaches = []
    for which, scale in enumerate(_NOISE):
        pooled = scale * noise
        excess = np.maximum((pooled + own) * factors - pooled, 0.0)[:, None]
        freedom = (n_prompts - 1.0) * (first + np.arange(2.0))
        free = (pooled + excess) ** 2 / (pooled**2 / freedom + excess**2 / (n_prompts - 1))
        reaches.append(stdtrit(free, 1 - np.maximum(levels[:, which], _NEVER) / 2) * np.sqrt((pooled + excess) / n_prompts))
    alone, two = reaches

    def told(drift: float) -> float:
        """Probability of telling a drift, by the errors of the start and of the first checkpoint that shows it."""
        off = drift - start
        missed = 0.0
        for outcome in range(_OUTCOMES):
            second = np.minimum(alone[outcome, 1] - off, 2 * (two[outcome, 1] - off) - one)
            missed += float(weight @ ((one + off <= alone[outcome, 0]) * ndtr(second / error)) @ weight)
        return 1 - missed / _OUTCOMES

    low, high = 0.0, 1.0
    if told(high) < power:
        return 1.0
    for _ in range(_HALVINGS // 2):
        middle = (low + high) / 2
        low, high = (low, middle) if told(middle) >= power else (middle, high)
    return high
