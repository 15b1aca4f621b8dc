"""Weights and temperatures of a panel's members, fitted on answers that people have labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.errors import DataError
from valuedrift.judges.quality.scaling import fit_temperature, negative_log_likelihood
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus

Array = NDArray[np.float64]
FEWEST = 30
"""Labelled answers below which nothing is fitted: two numbers a member would be noise."""
_FLOOR = 1e-6
"""Least probability that a member is taken to have given: one certain error must not decide the fit."""
_STEPS = 500


@dataclass(frozen=True, slots=True)
class PanelFit:
    """What was fitted."""

    temperatures: Mapping[str, float]
    """By member: divides its log-probabilities; above 1 it was too sure of itself."""
    weights: Mapping[str, float]
    """By member, in [0.001, 1]: shares of the mixture that makes the labels likeliest."""
    n: int
    """Answers that it rests on: labelled with a stance, and every member has one."""
    before: float
    """Mean negative log-likelihood of these labels under the plain mean, nats."""
    after: float
    """The same as fitted; on the very rows that were fitted, so it flatters."""


def fit_panel(names: Sequence[str], members: Sequence[pl.DataFrame], labels: Sequence[str]) -> PanelFit:
    """Fit a panel.

    A member's temperature makes its own probabilities mean what they say (Guo et al. 2017); the weights then maximise the likelihood of the labels under the
    mixture of the members (expectation maximisation; the likelihood is concave in the weights, so there is one optimum).

    Args:
        names: Members.
        members: Their judgements, as ``judgements_frame`` makes them; rows alike.
        labels: Of people: support, neutral, oppose, or others, which are left out.

    Raises:
        DataError: Fewer than ``FEWEST`` answers remain.
    """
    stances = [stance.value for stance in STANCES]
    use = np.array([label in stances for label in labels], dtype=bool)
    for frame in members:
        use &= (frame.get_column("status") == JudgeStatus.OK.value).to_numpy()
    if use.sum() < FEWEST:
        raise DataError(f"{use.sum()} labelled answers on which every member has a stance", fix=f"label at least {FEWEST}")
    gold = np.array([stances.index(label) for label, used in zip(labels, use, strict=True) if used])
    p = [np.maximum(frame.filter(pl.Series(use)).select(STANCE_COLUMNS).to_numpy(), _FLOOR) for frame in members]
    temperatures = [fit_temperature(np.log(one), gold) for one in p]
    softened = [_softened(one, temperature) for one, temperature in zip(p, temperatures, strict=True)]
    weights = _mixture(np.stack([one[np.arange(len(gold)), gold] for one in softened], axis=1))
    return PanelFit(
        temperatures=dict(zip(names, temperatures, strict=True)),
        weights={name: max(0.001, round(float(weight), 3)) for name, weight in zip(names, weights, strict=True)},
        n=len(gold),
        before=negative_log_likelihood(np.log(np.mean(p, axis=0)), gold, 1.0),
        after=negative_log_likelihood(np.log(np.einsum("m,mrs->rs", weights, np.stack(softened))), gold, 1.0),
    )


def _softened(p: Array, temperature: float) -> Array:
    powered = p ** (1.0 / temperature)
    return np.asarray(powered / powered.sum(axis=1, keepdims=True))


def _mixture(likelihood: Array) -> Array:
    """Weights [members] that maximise the likelihood of rows [rows, members], each the probability that a member gave to the label."""
    weights = np.full(likelihood.shape[1], 1.0 / likelihood.shape[1])
    for _ in range(_STEPS):
        shares = likelihood * weights
        shares /= shares.sum(axis=1, keepdims=True)
        weights = shares.mean(axis=0)
    return weights
