"""Cluster bootstrap over prompts: multinomial weights, the same draws for all checkpoints of a run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from valuedrift.fingerprint import seed_from
from valuedrift.statistics import Array

_CHUNK_CELLS = 4_000_000
"""Numbers that one chunk of draws may hold: 32 MB, whatever the study's size."""
_SAME = 1e-9
"""Figures closer than this are equal: resamples add in another order."""
TOO_FEW = "it rests on one prompt, or on one or two answers that are alike, so that every resample gives the same"
"""Why a figure has no interval."""


def alike(value: float, drawn: Array, prompts: NDArray[Any]) -> bool:
    """Whether a figure has no interval: one prompt, and one or two answers that are alike, give the same in every resample and show no spread.

    Args:
        value: The figure on the data as they are.
        drawn: It on each resample. Shape (draws,).
        prompts: Number of the prompt of each row that it rests on.
    """
    same = not len(drawn) or float(np.abs(drawn - value).max()) <= _SAME
    return same and (len(prompts) < 3 or len(np.unique(prompts)) < 2)


def weight_chunks(n_prompts: int, resamples: int, seed: int, key: tuple[str, ...], *, width: int = 1) -> Iterator[Array]:
    """Multinomial weights over prompts, in chunks.

    Args:
        n_prompts: Prompts P to draw from.
        resamples: Draws in all.
        seed: The analysis seed.
        key: What the draws belong to (study and topic): the same key and P give the same draws.
        width: Numbers a draw is multiplied into, so that a chunk's products stay small too.

    Yields:
        Arrays of shape (P, draws); every column sums to P.
    """
    chunk = max(1, min(resamples, _CHUNK_CELLS // max(n_prompts, width)))
    if chunk == resamples:
        yield _all_weights(n_prompts, resamples, seed, key)
        return
    generator = np.random.default_rng(seed_from(seed, *key))
    for start in range(0, resamples, chunk):
        yield multinomial_weights(generator, n_prompts, min(chunk, resamples - start))


@lru_cache(maxsize=16)
def _all_weights(n_prompts: int, resamples: int, seed: int, key: tuple[str, ...]) -> Array:
    """Draws of a topic, kept for the next run with the same prompts."""
    weights = multinomial_weights(np.random.default_rng(seed_from(seed, *key)), n_prompts, resamples)
    weights.flags.writeable = False
    return weights


def multinomial_weights(generator: np.random.Generator, n_prompts: int, draws: int) -> Array:
    """How often each prompt counts when as many are drawn with replacement as there are. Shape (n_prompts, draws)."""
    drawn = generator.multinomial(n_prompts, np.full(n_prompts, 1.0 / n_prompts), size=draws)
    return np.ascontiguousarray(drawn.T, dtype=np.float64)


def largest_deviations(values: Array, error: Array, resamples: int, seed: int, key: tuple[str, ...]) -> Array:
    """Bootstrap distribution of the largest standardized deviation of means over checkpoints.

    Args:
        values: Paired differences of prompt means from a checkpoint of reference; NaN where missing. Shape (P, T, S).
        error: Their standard errors; checkpoints with a zero or NaN error are left out. Shape (T, S).
        resamples: Draws.
        seed: The analysis seed.
        key: See `weight_chunks`.

    Returns:
        max over T of |bootstrap mean − mean| / error, shape (S, resamples).
    """
    prompts, checkpoints, stances = values.shape
    missing = np.isnan(values)
    any_missing = bool(missing.any())
    # Stances first and draws last, so that the maximum over checkpoints runs along contiguous rows.
    flat = np.ascontiguousarray(np.where(missing, 0.0, values).transpose(2, 1, 0)).reshape(-1, prompts)
    present = np.ascontiguousarray((~missing).transpose(2, 1, 0)).reshape(-1, prompts).astype(np.float64)
    mass = present.sum(axis=1)
    mean = np.where(mass > 0, flat.sum(axis=1) / np.maximum(mass, 1.0), 0.0)
    errors = error.T.reshape(-1)
    scale = np.where((mass > 0) & (errors > 0), 1.0 / np.where(errors > 0, errors, 1.0), 0.0)
    found = []
    for weights in weight_chunks(prompts, resamples, seed, key, width=len(flat)):
        drawn = flat @ weights
        if any_missing:
            drawn_mass = present @ weights
            drawn = np.where(drawn_mass > 0, drawn / np.maximum(drawn_mass, 1.0), mean[:, None])
        else:
            drawn /= prompts
        drawn -= mean[:, None]
        drawn *= scale[:, None]
        drawn = drawn.reshape(stances, checkpoints, -1)
        found.append(np.maximum(drawn.max(axis=1), -drawn.min(axis=1)))
    return np.concatenate(found, axis=1)


def critical_value(deviations: Array, confidence: float, n_prompts: Array) -> Array:
    """Critical value of simultaneous t statements from bootstrap deviations.

    The bootstrap of P prompts has thinner tails than the t statistic it stands for (its variance is short by (P − 1)/P, and the standard
    error is held
    fixed), so its quantile is carried over from the normal to the t scale.

    Args:
        deviations: As `largest_deviations` returns them. Shape (S, resamples).
        confidence: Level of the simultaneous statement.
        n_prompts: Prompts behind the standard errors. Shape (S,).

    Returns:
        Shape (S,).
    """
    count = np.maximum(n_prompts, 2.0)
    normal = np.quantile(deviations, confidence, axis=1) * np.sqrt(count / (count - 1))
    tail = np.maximum(ndtr(-normal), 1e-15)
    return np.asarray(-stdtrit(count - 1, tail), dtype=np.float64)
