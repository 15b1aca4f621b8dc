"""Means over prompts and their intervals; the prompt is the cluster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from valuedrift.drift.cells import Array


@dataclass(frozen=True, slots=True)
class Interval:
    """Estimates with their intervals, all of one shape.

    Attributes:
        estimate: Mean over prompts; NaN without any.
        low: Lower end.
        high: Upper end.
        error: Standard error of the mean, clustered by prompt; NaN below two prompts.
        count: Prompts that entered.
    """

    estimate: Array
    low: Array
    high: Array
    error: Array
    count: Array


def mean_interval(values: Array, confidence: float, *, bounds: tuple[float, float]) -> Interval:
    """Mean over prompts with a t interval on prompts − 1 degrees of freedom.

    Args:
        values: Prompt means or paired differences of prompt means; NaN where missing. Shape (P, ...).
        confidence: Level of the interval, in (0, 1).
        bounds: Smallest and largest value possible: (0, 1) for a mean, (−1, 1) for a difference.

    Returns:
        Arrays of shape (...). Ends lie within the bounds; with one prompt they are the bounds.
    """
    low_bound, high_bound = bounds
    present = ~np.isnan(values)
    count = present.sum(axis=0).astype(float)
    filled = np.where(present, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=0) / count
        spread = np.where(present, values - mean, 0.0)
        error = np.sqrt((spread**2).sum(axis=0) / (count - 1) / count)
    error = np.where(count > 1, error, np.nan)
    half = stdtrit(np.maximum(count - 1, 1), (1 + confidence) / 2) * error
    low = np.where(count > 1, np.clip(mean - half, low_bound, high_bound), low_bound)
    high = np.where(count > 1, np.clip(mean + half, low_bound, high_bound), high_bound)
    return Interval(mean, low, high, error, count)
