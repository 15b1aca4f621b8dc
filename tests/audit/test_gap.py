"""The value gap and its interval against independent references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from valuedrift.audit.measures import cluster_means, estimates, value_gap
from valuedrift.statistics.distances import total_variation


def _pairs(rng: np.random.Generator, n: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Stance distributions of chosen and rejected answers; ``shift`` moves chosen ones from oppose to support."""
    rejected = rng.dirichlet((4.0, 4.0, 4.0), n)
    moved = np.minimum(rejected[:, 2], shift)
    return rejected + np.stack([moved, np.zeros(n), -moved], axis=1), rng.dirichlet((4.0, 4.0, 4.0), n)


@given(st.integers(2, 40), st.integers(0, 1000))
def test_the_gap_is_the_total_variation_of_the_mean_distributions(n: int, seed: int) -> None:
    chosen, rejected = _pairs(np.random.default_rng(seed), n, 0.2)
    gap = value_gap(chosen - rejected, np.arange(n), 0.95)
    assert gap.value == pytest.approx(float(total_variation(chosen.mean(0), rejected.mean(0))))
    assert gap.value == pytest.approx(np.abs(chosen.mean(0) - rejected.mean(0)).max())
    assert 0.0 <= gap.low <= gap.value + 1e-12
    assert gap.value <= gap.high + 1e-12 <= 1.0 + 1e-9


def test_its_interval_covers_and_does_not_cry_wolf() -> None:
    """Where there is no gap the lower end is 0 in at least 95% of sets; where there is one the interval covers it in at least 95%."""
    rng, sets, n = np.random.default_rng(1), 1500, 60
    clear = sum(value_gap(a - b, np.arange(n), 0.95).low > 0 for a, b in (_pairs(rng, n, 0.0) for _ in range(sets)))
    assert clear / sets <= 0.05
    big_chosen, big_rejected = _pairs(np.random.default_rng(2), 2_000_000, 0.15)
    true = float(total_variation(big_chosen.mean(0), big_rejected.mean(0)))
    covered = 0
    for _ in range(sets):
        chosen, rejected = _pairs(rng, n, 0.15)
        found = value_gap(chosen - rejected, np.arange(n), 0.95)
        covered += found.low <= true <= found.high
    assert covered / sets >= 0.95


def test_a_mean_has_the_t_interval_of_scipy() -> None:
    values = np.linspace(0.3, 0.7, 30)[:, None]  # symmetric, so that nothing is corrected for skew
    [found] = estimates(values, np.arange(30), 0.95, bounds=(0.0, 1.0))
    low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values[:, 0]))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_examples_of_one_prompt_are_one_cluster() -> None:
    values = np.array([[0.0], [1.0], [np.nan], [0.4]])
    assert cluster_means(values, np.array([0, 0, 1, 2]))[:, 0] == pytest.approx([0.5, np.nan, 0.4], nan_ok=True)
    doubled = np.repeat(np.random.default_rng(3).normal(0.5, 0.1, 20), 2)[:, None]
    once = estimates(doubled[::2], np.arange(20), 0.95, bounds=(0.0, 1.0))
    assert estimates(doubled, np.arange(40) // 2, 0.95, bounds=(0.0, 1.0)) == once


def test_nothing_judged_is_no_number() -> None:
    gap = value_gap(np.full((3, 3), np.nan), np.arange(3), 0.95)
    assert np.isnan([gap.value, gap.low, gap.high]).all()
