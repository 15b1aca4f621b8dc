"""How far a run has moved from its start at each checkpoint, with intervals that hold over all looks together. See docs/alerts.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, stdtrit

from valuedrift.statistics import Array
from valuedrift.statistics.intervals import TINY
from valuedrift.watching.spending import NOISE

EXCESS = 0.2
"""Level at which a variance must exceed that of the residual before it counts."""
_SHARED = 1.5
"""Pairs of checkpoints that share their ends: so many are worth one."""


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
    run without drift is made of; degrees of freedom grow with the looks); or that of checkpoints far apart, or the look's own over prompts, where these exceed
    it by more than chance: where prompts keep their answers for a while, and where they drift by unequal amounts.

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
    variance, freedom = _noise(moved)
    far, near = _persistence(moved)
    by_look = levels.reshape(*levels.shape, *[1] * (moved.mean.ndim - 1))
    found = [
        _interval(differences, np.maximum(variance * scale, lasting), freedom, by_look[:, which], rounding)
        for which, (differences, scale, lasting) in enumerate(
            zip((moved, _Centred(with_before)), NOISE, (far, far - near / 4), strict=True)
        )
    ]
    return Changes(*(np.stack(part, axis=1) for part in zip(*found, strict=True)))


class _Centred:
    """Differences of prompts at each look, and how they lie around their mean.

    Attributes:
        values: The differences, NaN where missing. Shape (P, K, ...).
        there: Which are not missing.
        whole: Whether none is.
        count: How many of a look those are. Shape (K, ...).
        mean: Their mean, NaN without any.
        away: What is left of each without the mean, 0 where missing. Shape (P, K, ...).
        squares: Its sum of squares. Shape (K, ...).
    """

    def __init__(self, values: Array) -> None:
        self.values = values
        self.there = ~np.isnan(values)
        self.count = self.there.sum(axis=0).astype(float)
        self.whole = bool(self.there.all())
        with np.errstate(invalid="ignore", divide="ignore"):
            self.mean = (values if self.whole else np.where(self.there, values, 0.0)).sum(axis=0) / self.count
        away = values - self.mean
        self.away = away if self.whole else np.where(self.there, away, 0.0)
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


def _persistence(moved: _Centred) -> tuple[Array, Array]:
    """Variance, over prompts, of the difference of two checkpoints that lie far apart, and of two neighbours, from all such pairs up to each look.

    Both are twice the variance of one where checkpoints are independent. Where a prompt keeps its answer for a while (without a temperature), or goes its own
    way, what is far apart differs by more than neighbours do, and the residual around a prompt's mean tells too little. Far is a quarter of the looks so far,
    at least, and counts by what is surely there. Both of shape (K, ...).
    """
    looks = np.arange(1, len(moved.mean) + 1)
    away = np.concatenate([np.zeros_like(moved.away[:, :1]), moved.away], axis=1)
    there = None if moved.whole else np.concatenate([np.ones_like(moved.there[:, :1]), moved.there], axis=1)
    far, near = np.zeros_like(moved.mean), np.zeros_like(moved.mean)
    lag = 1
    while lag <= len(looks):
        apart = away[:, lag:] - away[:, :-lag]
        if there is None:
            freedom = np.full(apart.shape[1:], len(apart) - 1.0)
        else:
            both = there[:, lag:] & there[:, :-lag]
            apart, freedom = np.where(both, apart, 0.0), np.maximum(both.sum(axis=0) - 1.0, 0.0)
        freedom = np.cumsum(freedom, axis=0)
        mean = np.cumsum(np.einsum("pk...,pk...->k...", apart, apart), axis=0) / np.maximum(freedom, 1.0)
        if lag == 1:
            near = mean
        used = looks[(looks >= lag) & (looks < 4 * lag)]
        worth = np.maximum(freedom[used - lag] / _SHARED, 1.0)
        far[used - 1] = np.maximum(far[used - 1], mean[used - lag] * worth / _chance(worth))
        lag *= 2
    return far, near


def _interval(differences: _Centred, noise: Array, freedom: Array, level: Array, rounding: float) -> tuple[Array, Array, Array, Array]:
    """Mean, lower and upper end of its many-look interval, and prompts, at each look."""
    change, count = differences.mean, differences.count
    size = np.maximum(count, 2.0)
    pooled, sure = noise / size, differences.squares / size / _chance(size - 1)
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


def _chance(freedom: Array) -> Array:
    """What a sum of so many squares exceeds by chance no more often than ``EXCESS``, each different one computed once."""
    wanted, place = np.unique(freedom, return_inverse=True)
    return np.asarray(chdtri(wanted, EXCESS)[place.reshape(freedom.shape)])


def _quantile(freedom: Array, level: Array) -> Array:
    """Two-sided t quantiles, each different one computed once: most looks have no variance of their own on top, and they are slow so far out."""
    wanted, place = np.unique(freedom.round(6) + 1j * level, return_inverse=True)
    return np.asarray(stdtrit(wanted.real, 1 - wanted.imag / 2)[place.reshape(np.broadcast_shapes(freedom.shape, level.shape))])
