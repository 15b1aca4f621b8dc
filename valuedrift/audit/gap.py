"""Means over a dataset's examples and the value gap, with intervals; examples with one prompt are one cluster.

The value gap is the total variation distance of two stance distributions. Their three differences sum to zero, so it equals the largest absolute one:
½ Σ|d| = max|d|. That gives it an interval without a bootstrap, whose draws would all be too large where the true gap is zero: the three differences get
simultaneous intervals (Bonferroni), and the gap lies between the largest distance of one of them from zero and their farthest end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valuedrift.stance import STANCES
from valuedrift.statistics.intervals import mean_interval

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over prompts with its interval; all NaN without an example."""

    value: float
    low: float
    high: float


NOTHING = Estimate(float("nan"), float("nan"), float("nan"))


def cluster_means(values: Array, clusters: NDArray[np.int64]) -> Array:
    """Means of the rows of each cluster, NaN left out.

    Args:
        values: Shape (rows, columns); NaN where there is none.
        clusters: Cluster of each row, numbered from 0.

    Returns:
        Shape (clusters, columns); NaN where a cluster has no value.
    """
    count = int(clusters.max(initial=-1)) + 1
    present = ~np.isnan(values)
    sums, sizes = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, clusters, np.where(present, values, 0.0))
    np.add.at(sizes, clusters, present)
    return np.divide(sums, sizes, out=np.full_like(sums, np.nan), where=sizes > 0)


def estimates(values: Array, clusters: NDArray[np.int64], confidence: float, *, bounds: tuple[float, float]) -> list[Estimate]:
    """The mean of each column over clusters, with a t interval.

    Args:
        values: Shape (rows, columns).
        clusters: Cluster of each row.
        confidence: Level of the intervals.
        bounds: Smallest and largest value that a row can have.
    """
    means = cluster_means(values, clusters)
    if not len(means):
        return [NOTHING] * values.shape[1]
    found = mean_interval(means, confidence, bounds=bounds)
    return [
        Estimate(float(value), float(low), float(high)) if count else NOTHING
        for value, low, high, count in zip(found.estimate, found.low, found.high, found.count, strict=True)
    ]


def value_gap(difference: Array, clusters: NDArray[np.int64], confidence: float) -> Estimate:
    """The value gap of a preference set: total variation of the stance distributions of its chosen and its rejected answers, in [0, 1].

    Args:
        difference: Stance probabilities of the chosen minus those of the rejected answer, shape (examples, 3).
        clusters: Prompt of each example.
        confidence: Level of the interval.
    """
    means = cluster_means(difference, clusters)
    if not len(means) or np.isnan(means).all():
        return NOTHING
    found = mean_interval(means, 1 - (1 - confidence) / len(STANCES), bounds=(-1.0, 1.0))
    clear = np.maximum(0.0, np.maximum(found.low, -found.high))
    farthest = np.maximum(np.abs(found.low), np.abs(found.high))
    return Estimate(float(0.5 * np.abs(found.estimate).sum()), float(clear.max()), float(min(1.0, farthest.max())))
