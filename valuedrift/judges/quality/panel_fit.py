"""Weights and temperatures of a panel's members, fitted on answers that people have labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.errors import DataError
from valuedrift.judges.quality.calibrate import folds_of
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
    held_out: float | None = None
    """The same of each answer by a fit on the answers to other prompts; None where the prompts are not known, or are too few."""


def fit_panel(
    names: Sequence[str], members: Sequence[pl.DataFrame], labels: Sequence[str], prompts: Sequence[str] | None = None
) -> PanelFit:
    """Fit a panel.

    A member's temperature makes its own probabilities mean what they say (Guo et al. 2017); the weights then maximise the likelihood of the labels under the
    mixture of the members (expectation maximisation; the likelihood is concave in the weights, so there is one optimum).

    Args:
        names: Members.
        members: Their judgements, as ``judgements_frame`` makes them; rows alike.
        labels: Of people: support, neutral, oppose, or others, which are left out.
        prompts: Text of the prompt of each row; with them the fit is measured on prompts that it did not see.

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
    temperatures, weights = _fitted(p, gold)
    asked = None if prompts is None else [prompt for prompt, used in zip(prompts, use, strict=True) if used]
    return PanelFit(
        temperatures=dict(zip(names, temperatures, strict=True)),
        weights={name: max(0.001, round(float(weight), 3)) for name, weight in zip(names, weights, strict=True)},
        n=len(gold),
        before=negative_log_likelihood(np.log(np.mean(p, axis=0)), gold, 1.0),
        after=float(-_log_likelihoods(p, gold, temperatures, weights).mean()),
        held_out=None if asked is None else _held_out(p, gold, asked),
    )


def _fitted(p: Sequence[Array], gold: NDArray[np.int64]) -> tuple[list[float], Array]:
    """Temperature and weight of each member."""
    temperatures = [fit_temperature(np.log(one), gold) for one in p]
    softened = [_softened(one, temperature) for one, temperature in zip(p, temperatures, strict=True)]
    return temperatures, _mixture(np.stack([one[np.arange(len(gold)), gold] for one in softened], axis=1))


def _log_likelihoods(p: Sequence[Array], gold: NDArray[np.int64], temperatures: Sequence[float], weights: Array) -> Array:
    """Log-probability of each label under the panel, shape (rows,)."""
    softened = np.stack([_softened(one, temperature) for one, temperature in zip(p, temperatures, strict=True)])
    return np.asarray(np.log(np.einsum("m,mrs->rs", weights, softened)[np.arange(len(gold)), gold]))


def _held_out(p: Sequence[Array], gold: NDArray[np.int64], prompts: Sequence[str]) -> float | None:
    """Mean negative log-likelihood of answers under fits on the answers to other prompts."""
    folds = folds_of(prompts)
    if folds.max() == 0:
        return None
    found = np.zeros(len(gold))
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        fit = _fitted([one[~held] for one in p], gold[~held])
        found[held] = _log_likelihoods([one[held] for one in p], gold[held], *fit)
    return float(-found.mean())


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
