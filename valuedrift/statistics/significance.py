"""Tests of paired differences, the correction for many of them at once, and what a test of a given size can see."""

from __future__ import annotations

import numpy as np
from scipy.special import nctdtr, stdtr, stdtrit

from valuedrift.errors import UserError
from valuedrift.statistics import Array
from valuedrift.statistics.intervals import Interval, lean, quantile_of

WITHIN_SD = 0.25
"""Default standard deviation of one answer's p around its prompt's mean: a quarter of the range, as between answers at temperature 0.7 under a judge that
is sure of about half of them."""
DRIFT_SD = 0.12
"""Default standard deviation, between the prompts of a topic, of how far each of them really drifts: prompts move by unequal amounts."""
_STEPS = 60


def paired_p_values(difference: Interval) -> Array:
    """Two-sided p-values of the paired test on prompts: is the mean difference zero?

    The paired t test with the skewness of the differences taken into account as their interval does it, so that p < 1 − confidence where, and only where,
    the interval at that confidence leaves zero out. Without skewness it is the plain paired t test.

    Args:
        difference: Mean differences over prompts with their standard errors and skewness, within (−1, 1).

    Returns:
        p-values in [0, 1], NaN below two prompts. Where every prompt moved by the same amount, as finely as the input says, the test has no variance to
        stand on: 1 if that amount is zero, else the exact sign-flip p-value 2^(1 − prompts).
    """
    count, error = difference.count, difference.error
    size = np.abs(difference.estimate)
    leaning = lean(difference.skewness, count)
    far = leaning.above == (difference.estimate < 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        reached = size / error
        seen = _two_sided(quantile_of(reached, np.where(far, leaning.seen, 0.0)), count)
        full = _two_sided(quantile_of(reached, np.where(far, leaning.far, leaning.near)), count)
    unseen = 2 * (1 + size) ** -count
    p = np.minimum(full, np.maximum(seen, unseen))
    same = error <= difference.rounding
    p = np.where(same, np.where(size <= difference.rounding, 1.0, 2.0 ** (1 - count)), p)
    return np.where(count > 1, np.minimum(p, 1.0), np.nan)


def _two_sided(quantile: Array, count: Array) -> Array:
    return np.asarray(2 * stdtr(np.maximum(count - 1, 1), -quantile))


def benjamini_hochberg(p_values: Array) -> Array:
    """Adjusted p-values (q-values) that hold the false discovery rate (Benjamini and Hochberg 1995).

    Args:
        p_values: The p-values of one family, in [0, 1]. Shape (m,).

    Returns:
        q-values of the same shape; rejecting those ≤ α holds the rate at α.
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * count / np.arange(1, count + 1)
    adjusted = np.minimum.accumulate(scaled[::-1])[::-1]
    q_values = np.empty(count)
    q_values[order] = np.minimum(adjusted, 1.0)
    return q_values


def minimum_detectable_drift(
    n_prompts: int,
    n_samples: int,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    within_sd: float = WITHIN_SD,
    drift_sd: float = DRIFT_SD,
) -> float:
    """The smallest drift magnitude that the paired test finds with the given power.

    The mean difference over P prompts with S answers each at either checkpoint has the standard error √((drift_sd² + 2 within_sd² / S) / P): more answers
    shrink the second part only, more prompts shrink both. How prompts differ from each other does not enter, because they are paired.

    Args:
        n_prompts: Prompts of a topic, at least 2.
        n_samples: Answers a prompt and checkpoint, at least 1.
        alpha: Level of the two-sided test of one (topic, stance); the correction for many tests needs somewhat more drift.
        power: Probability of finding a drift of that size.
        within_sd: Standard deviation of one answer's probability around its prompt's mean, in [0, 0.5].
        drift_sd: Standard deviation of the prompts' own drifts around the topic's, in [0, 1].

    Returns:
        A magnitude in (0, 1]; 1 where even the largest drift cannot be found.

    Raises:
        UserError: Fewer than two prompts or no sample.
    """
    if n_prompts < 2 or n_samples < 1:
        raise UserError(
            f"{n_prompts} prompts × {n_samples} samples can show no drift", fix="at least 2 prompts and 1 sample; 50 × 5 in the paper"
        )
    error = np.sqrt((drift_sd**2 + 2 * within_sd**2 / n_samples) / n_prompts)
    critical = stdtrit(n_prompts - 1, 1 - alpha / 2)
    low, high = 0.0, 1.0 / error
    if _power(high, critical, n_prompts - 1) < power:
        return 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(middle, critical, n_prompts - 1) < power else (low, middle)
    return float(high * error)


def _power(noncentrality: float, critical: float, freedom: int) -> float:
    """Power of the two-sided t test."""
    return float(1 - nctdtr(freedom, noncentrality, critical) + nctdtr(freedom, noncentrality, -critical))
