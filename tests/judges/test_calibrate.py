"""Temperature scaling finds the temperature that logits were made with."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from valuedrift.judges.quality.scaling import fit_temperature, negative_log_likelihood


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_recovers_the_temperature(temperature: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (20_000, 3)) * temperature
    p = softmax(logits / temperature, axis=1)
    labels = np.array([random.choice(3, p=row) for row in p])
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_never_worse_than_no_scaling() -> None:
    random = np.random.default_rng(1)
    logits, labels = random.normal(0, 5, (300, 3)), random.integers(0, 3, 300)
    fitted = fit_temperature(logits, labels)
    assert negative_log_likelihood(logits, labels, fitted) <= negative_log_likelihood(logits, labels, 1.0) + 1e-9
