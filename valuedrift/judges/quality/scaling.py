"""Temperature and vector scaling (Guo et al. 2017): the numbers that make probabilities mean what they say, fitted on labelled answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from valuedrift.judges.calibrated import LEAST_P, LEAST_T, MOST_T, Calibration
from valuedrift.stance import STANCES

FEW_LABELS = 60
"""Labels below which only the temperature is fitted."""
FEW_OF_A_STANCE = 5
"""The same, labels of the rarest stance."""

Array = NDArray[np.float64]


def fit_calibration(
    p: Array, labels: NDArray[np.int64], *, prompts: Sequence[str], judge: str, judge_fingerprint: str, row_weights: Array | None = None
) -> Calibration:
    """Fit a calibration: the posterior mode under a normal prior of standard deviation 1 on log T and each bias.

    With few labels it stays near the judge's own probabilities.

    Args:
        p: The judge's probabilities of support, neutral, oppose. Shape (rows, 3).
        labels: Index of the stance that people see. Shape (rows,).
        prompts: Prompt of each row.
        judge: Name of the judge.
        judge_fingerprint: Fingerprint of its identity.
        row_weights: How many answers each row stands for; 1 by default. Their mean is taken as 1, so that the prior weighs against rows, not answers.
    """
    from scipy.optimize import minimize
    from scipy.special import softmax

    counts = np.bincount(labels, minlength=len(STANCES))
    vector = len(labels) >= FEW_LABELS and counts.min() >= FEW_OF_A_STANCE
    weights = np.ones(len(labels)) if row_weights is None else row_weights / row_weights.mean()
    log_p, rows = np.log(np.maximum(p, LEAST_P)), np.arange(len(labels))
    corner = np.eye(len(STANCES))[labels]

    def loss(x: Array) -> tuple[float, Array]:
        bias = x[1:] if vector else np.zeros(len(STANCES))
        inverse = np.exp(-x[0])
        q = softmax(log_p * inverse + bias, axis=1)
        value = -(weights * np.log(np.maximum(q[rows, labels], 1e-300))).sum() + (x**2).sum() / 2
        off = weights[:, None] * (q - corner)
        slope = np.concatenate([[-(off * log_p).sum() * inverse], off.sum(0) if vector else []])
        return float(value), slope + x

    x = minimize(loss, np.zeros(1 + len(STANCES) if vector else 1), jac=True, method="BFGS", options={"gtol": 1e-8}).x
    bias = x[1:] - x[1:].mean() if vector else np.zeros(len(STANCES))
    first, second, third = (round(float(value), 6) for value in bias)
    return Calibration(
        method="vector" if vector else "temperature",
        temperature=round(float(np.clip(np.exp(x[0]), LEAST_T, MOST_T)), 6),
        bias=(first, second, third),
        judge=judge,
        judge_fingerprint=judge_fingerprint,
        labels={stance.value: int(count) for stance, count in zip(STANCES, counts, strict=True)},
        prompts=len(set(prompts)),
    )


def fit_temperature(logits: Array, labels: NDArray[np.int64] | Array) -> float:
    """The temperature in [0.05, 20] with the least negative log-likelihood, without a prior; rounded to three digits.

    Args:
        logits: Shape (rows, classes).
        labels: Index of the right class, shape (rows,), or the probability of each class, shape (rows, classes).
    """
    from scipy.optimize import minimize_scalar

    best = minimize_scalar(
        lambda log: negative_log_likelihood(logits, labels, float(np.exp(log))), bounds=(np.log(0.05), np.log(20.0)), method="bounded"
    )
    return round(float(np.exp(best.x)), 3)


def negative_log_likelihood(logits: Array, labels: NDArray[np.int64] | Array, temperature: float) -> float:
    """Mean negative log-likelihood of the labels, in nats.

    Args:
        logits: Shape (rows, classes).
        labels: Index of the right class, shape (rows,), or the probability of each class, shape (rows, classes): their cross-entropy then.
        temperature: Divides the logits, > 0.
    """
    from scipy.special import log_softmax

    log_p = log_softmax(logits / temperature, axis=1)
    return float(-np.mean((labels * log_p).sum(axis=1) if labels.ndim == 2 else log_p[np.arange(len(labels)), labels]))
