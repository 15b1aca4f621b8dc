"""Tests of paired differences, and the correction for many of them at once."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr

from valuedrift.drift.cells import Array
from valuedrift.drift.intervals import TINY, Interval


def paired_p_values(difference: Interval) -> Array:
    """Two-sided p-values of the paired t test on prompts: is the mean difference zero?

    Args:
        difference: Mean differences over prompts with their standard errors.

    Returns:
        p-values in [0, 1], NaN below two prompts. Where every prompt moved by the same amount the test has no variance to stand on: 1 if
        that amount is
        zero, else the exact sign-flip p-value 2^(1 − prompts).
    """
    count, error = difference.count, difference.error
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * stdtr(np.maximum(count - 1, 1), -np.abs(difference.estimate) / error)
    same = error <= TINY
    p = np.where(same, np.where(np.abs(difference.estimate) <= TINY, 1.0, 2.0 ** (1 - count)), p)
    return np.where(count > 1, np.minimum(p, 1.0), np.nan)


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
