"""The interval and the test of a skewed mean, from scipy and the formulas of docs/statistics.md; p-values by searching for the level, not by their formula."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats


def skewed_interval(values: ArrayLike, confidence: float = 0.95, bounds: tuple[float, float] = (-1.0, 1.0)) -> tuple[float, float]:
    """Both ends on the scale of the values."""
    x = np.asarray(values, dtype=float)
    n, mean, error, skewness = len(x), x.mean(), stats.sem(x), float(stats.skew(x))
    t, unseen = stats.t.ppf((1 + confidence) / 2, n - 1), stats.binomtest(0, n).proportion_ci(confidence).high
    seen = abs(skewness) / (6 * n**0.5)
    far = seen / (1 - (abs(skewness) * (n - 1) ** 0.5 / (n - 2)) ** 1.5)
    near = (far - seen) / 2
    term = 2 * t**2 + 1
    down, up = (far, near) if skewness < 0 else (near, far)
    down_seen, up_seen = (seen, 0.0) if skewness < 0 else (0.0, seen)
    low = max(mean - error * (t + down * term), mean - unseen * (mean - bounds[0]))
    high = min(mean + error * (t + up * term), mean + unseen * (bounds[1] - mean))
    return max(bounds[0], min(low, mean - error * (t + down_seen * term))), min(bounds[1], max(high, mean + error * (t + up_seen * term)))


def skewed_p_value(values: ArrayLike) -> float:
    """One minus the level at which an end of the interval is zero."""

    def from_zero(log_level: float) -> float:
        low, high = skewed_interval(values, 1 - float(np.exp(log_level)))
        return low if np.mean(values) > 0 else -high

    if from_zero(np.log(0.999)) <= 0:
        return 1.0
    return float(np.exp(optimize.brentq(from_zero, np.log(1e-14), np.log(0.999), xtol=1e-14, rtol=1e-14)))
