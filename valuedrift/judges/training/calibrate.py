"""Temperature scaling (Guo et al. 2017): one number, fitted on held-out answers, that makes probabilities mean what they say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def negative_log_likelihood(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    """Mean negative log-likelihood of the labels, in nats.

    Args:
        logits: Shape (rows, classes).
        labels: Index of the right class, shape (rows,).
        temperature: Divides the logits, > 0.
    """
    scaled = logits / temperature
    top = scaled.max(axis=1)
    normaliser = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    return float(np.mean(normaliser - scaled[np.arange(len(labels)), labels]))


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The temperature in [0.05, 20] with the least negative log-likelihood; rounded to three digits.

    Args:
        logits: Shape (rows, classes).
        labels: Index of the right class, shape (rows,).
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log: negative_log_likelihood(logits, labels, float(np.exp(log))), bounds=(np.log(0.05), np.log(20.0)), method="bounded"
    )
    return round(float(np.exp(found.x)), 3)
