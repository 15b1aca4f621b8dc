"""Means of a grid of prompts and seeds, both drawn from many: two crossed random effects, told apart by the mean squares of a two-way analysis of variance.

A value of prompt p in the run of seed s is mean + prompt effect + seed effect + rest, with variances σ_p², σ_s² and σ_ps² (the rest holds their interaction and
the noise of sampling). The mean over P prompts and S seeds then has the variance σ_p²/P + σ_s²/S + σ_ps²/(P S).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from valuedrift.statistics import Array
from valuedrift.statistics.intervals import TINY, share_unseen

_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Crossed:
    """Means over prompts and seeds, all of one shape.

    Attributes:
        mean: Over the whole grid.
        low: Lower end of its interval.
        high: Upper end.
        p_value: Of the test that the mean is 0; below 1 − confidence where, and only where, the interval leaves 0 out.
        seeds: σ_s², the variance between the true values of runs that differ in seed; at least 0.
        prompts: σ_p², the variance between the true values of prompts; at least 0.
        rest: σ_ps², of a prompt in one run.
        n_prompts: P.
        n_seeds: S.
    """

    mean: Array
    low: Array
    high: Array
    p_value: Array
    seeds: Array
    prompts: Array
    rest: Array
    n_prompts: int
    n_seeds: int

    @property
    def variance(self) -> Array:
        """Of the mean: the square of its standard error."""
        return self.seeds / self.n_seeds + self.prompts / self.n_prompts + self.rest / (self.n_prompts * self.n_seeds)

    @property
    def shares(self) -> tuple[Array, Array]:
        """Shares of that variance which are the seeds' and the prompts'; the rest is of both. NaN without variance."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.seeds / self.n_seeds / self.variance, self.prompts / self.n_prompts / self.variance


def crossed(values: Array, confidence: float, *, bounds: tuple[float, float], rounding: float = TINY) -> Crossed:
    """The mean of a full grid, its interval, and what its variance is made of.

    Components are those of the mean squares, those below 0 taken as 0. The interval is mean ± q · error, with the quantile q between those of t on P − 1 and on
    S − 1 degrees of freedom, by the share of the variance that the seeds' mean square accounts for (Cochran and Cox's weights for a sum of two variances). With
    few seeds one t on Satterthwaite's degrees of freedom is too sure wherever seeds happen to agree: docs/statistics.md has what both cover.

    Args:
        values: One a prompt and seed, nothing missing. Shape (P, S, …), P and S at least 2.
        confidence: Level of the interval, in (0, 1).
        bounds: Smallest and largest mean possible.
        rounding: Standard errors and means up to this are 0, see `valuedrift.statistics.rounding`.

    Returns:
        Arrays of shape (…). Without any variance the interval is that of `valuedrift.statistics.intervals.mean_interval`, with the prompt as the unit.
    """
    prompts, seeds = values.shape[:2]
    mean = values.mean(axis=(0, 1))
    of_prompts, of_seeds = values.mean(axis=1), values.mean(axis=0)
    rest = values - of_prompts[:, None] - of_seeds[None] + mean
    square_prompts = seeds * ((of_prompts - mean) ** 2).sum(axis=0) / (prompts - 1)
    square_seeds = prompts * ((of_seeds - mean) ** 2).sum(axis=0) / (seeds - 1)
    square_rest = (rest**2).sum(axis=(0, 1)) / ((prompts - 1) * (seeds - 1))
    parts = (square_seeds - square_rest) / prompts, (square_prompts - square_rest) / seeds, square_rest
    part_seeds, part_prompts, part_rest = (np.where(part > rounding**2, part, 0.0) for part in parts)
    found = Crossed(mean, mean, mean, mean, part_seeds, part_prompts, part_rest, prompts, seeds)
    error = np.sqrt(found.variance)
    still = error <= rounding
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(still, 0.0, np.minimum(square_seeds / (prompts * seeds) / found.variance, 1.0))
    freedom = (prompts - 1, seeds - 1)
    half = np.where(still, 0.0, _quantile((1 + confidence) / 2, weight, freedom) * error)
    room = np.minimum(mean - bounds[0], bounds[1] - mean)
    none = still & ((np.abs(room) <= rounding) | (np.abs(mean) <= rounding))
    half = np.where(none, share_unseen(confidence, np.asarray(float(prompts))), half)
    moved = np.where(np.abs(mean) <= rounding, 1.0, 2.0 ** (1 - prompts))
    p_value = np.where(still, moved, _p_values(mean, np.where(still, 1.0, error), weight, freedom))
    low, high = (np.clip(end, *bounds) for end in (mean - half, mean + half))
    return Crossed(mean, low, high, p_value, part_seeds, part_prompts, part_rest, prompts, seeds)


def _quantile(level: Array | float, weight: Array, freedom: tuple[int, int]) -> Array:
    of_prompts, of_seeds = (stdtrit(each, level) for each in freedom)
    return np.asarray((1 - weight) * of_prompts + weight * of_seeds)


def _p_values(mean: Array, error: Array, weight: Array, freedom: tuple[int, int]) -> Array:
    """Two-sided: twice the level whose quantile just reaches from the mean to 0. It is sought on the scale of its logarithm."""
    reached = np.abs(mean) / error
    low, high = np.full(mean.shape, np.log(1e-300)), np.full(mean.shape, np.log(0.5))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        beyond = -_quantile(np.exp(middle), weight, freedom) > reached
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    return np.asarray(np.minimum(2 * np.exp(high), 1.0))
