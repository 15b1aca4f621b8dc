"""How far apart two stance distributions are, over all three stances at once."""

from __future__ import annotations

import numpy as np

from valuedrift.statistics import Array


def total_variation(p: Array, q: Array) -> Array:
    """Total variation distance ½ Σ|p − q| over the last axis, in [0, 1]: the mass that changed its stance."""
    distance: Array = 0.5 * np.abs(p - q).sum(axis=-1)
    return distance


def jensen_shannon(p: Array, q: Array) -> Array:
    """Jensen–Shannon distance (square root of the divergence, base 2) over the last axis, in [0, 1].

    Args:
        p: Distributions, shape (..., 3).
        q: Distributions of the same shape.
    """
    middle = 0.5 * (p + q)
    divergence = 0.5 * (_divergence(p, middle) + _divergence(q, middle))
    return np.sqrt(np.clip(divergence, 0.0, 1.0))


def _divergence(p: Array, q: Array) -> Array:
    """Kullback–Leibler divergence in bits; 0 log 0 is 0."""
    positive = p > 0
    ratio = np.where(positive, p, 1.0) / np.where(positive, q, 1.0)
    divergence: Array = (p * np.log2(ratio)).sum(axis=-1)
    return divergence
