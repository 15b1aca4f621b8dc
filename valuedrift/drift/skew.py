"""What skewness does to a t interval: one prompt far from the others says that there are more of its kind than were drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from valuedrift.drift.cells import Array

_ROUNDING = 1e-9
_POWER = 1.5
"""Chosen by simulation: with 1 shares of 0.1 cover over 97% at 50 prompts, with 2 shares of 0.03 under 93%."""


@dataclass(frozen=True, slots=True)
class Lean:
    """Coefficients of the Edgeworth term of a studentized mean, at least 0, for the side of the long tail (far) and the other (near).

    Attributes:
        seen: γ / (6 √n) with the sample skewness γ, far side.
        far: The same, enlarged by 1 / (1 − (|γ| / γ_max)^1.5). n values cannot be more skewed than γ_max = (n − 2) / √(n − 1): a sample near that limit, in
            which one prompt carries all, tells that the true skewness is larger, but not how large.
        near: Half of what the enlargement added: a tail that was not drawn may lie on this side too.
        above: Whether the far side is above the mean.
    """

    seen: Array
    far: Array
    near: Array
    above: Array


def lean(skewness: Array, count: Array) -> Lean:
    """The coefficients of samples.

    Args:
        skewness: Third central moment over the 3/2 power of the second, of the sample.
        count: Its size.
    """
    size = np.maximum(count, 2.0)
    most = (size - 2) / np.sqrt(size - 1)
    skewed = np.abs(np.nan_to_num(skewness))
    with np.errstate(invalid="ignore", divide="ignore"):
        used = np.where(most > 0, np.minimum(skewed / most, 1 - _ROUNDING), 0.0)
    seen = skewed / (6 * np.sqrt(size))
    far = seen / (1 - used**_POWER)
    return Lean(seen, far, (far - seen) / 2, np.asarray(skewness > 0))


def reach(quantile: Array, coefficient: Array) -> Array:
    """Standard errors from the mean to an end: t + a (2 t² + 1) (Johnson 1978; Hall 1992: the Edgeworth correction of a one-sided t interval)."""
    return quantile + coefficient * (2 * quantile**2 + 1)


def quantile_of(reached: Array, coefficient: Array) -> Array:
    """The t quantile whose end reaches just so many standard errors: the inverse of `reach`; 0 where none is so near."""
    beyond = np.maximum(reached - coefficient, 0.0)
    return np.asarray(2 * beyond / (1 + np.sqrt(1 + 8 * coefficient * beyond)))
