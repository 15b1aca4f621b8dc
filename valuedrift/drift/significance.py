"""Tests of paired differences, and the correction for many of them at once."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr

from valuedrift.drift.cells import Array
from valuedrift.drift.intervals import TINY, Interval
from valuedrift.drift.skew import lean, quantile_of


def paired_p_values(difference: Interval) -> Array:
    """Two-sided p-values of the paired test on prompts: is the mean difference zero?

    The paired t test with the skewness of the differences taken into account as their interval does it, so that p < 1 − confidence where, and only where,
    the interval at that confidence leaves zero out. Without skewness it is the plain paired t test.

    Args:
        difference: Mean differences over prompts with their standard errors and skewness, within (−1, 1).

    Returns:
        p-values in [0, 1], NaN below two prompts. Where every prompt moved by the same amount the test has no variance to stand on: 1 if that amount is
        zero, else the exact sign-flip p-value 2^(1 − prompts).
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
    same = error <= TINY
    p = np.where(same, np.where(size <= TINY, 1.0, 2.0 ** (1 - count)), p)
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
