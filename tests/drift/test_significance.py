"""Tests of differences where there is no variance to stand on, and the correction for many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skewed_t import skewed_p_value
from statsmodels.stats.multitest import multipletests

from valuedrift.statistics.distances import jensen_shannon, total_variation
from valuedrift.statistics.intervals import mean_interval
from valuedrift.statistics.significance import benjamini_hochberg, paired_p_values


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 1.0), (0.25, 2.0**-9), (-0.25, 2.0**-9)])
def test_prompts_that_all_move_alike_are_judged_by_their_signs(shift: float, expected: float) -> None:
    found = mean_interval(np.full((10, 1), shift), 0.95, bounds=(-1, 1))
    assert paired_p_values(found)[0] == pytest.approx(expected)


def test_one_prompt_has_no_p_value() -> None:
    assert np.isnan(paired_p_values(mean_interval(np.array([[0.2]]), 0.95, bounds=(-1, 1)))[0])


@given(
    arrays(np.float64, st.integers(2, 30), elements=st.floats(-1, 1).map(lambda x: round(x, 3))),
    st.sampled_from([0.55, 0.8, 0.95, 0.999]),
)
def test_the_test_and_the_interval_say_the_same(values: np.ndarray, confidence: float) -> None:
    found = mean_interval(values[:, None], confidence, bounds=(-1, 1))
    assume(found.error[0] > 1e-9)
    p_value = float(paired_p_values(found)[0])
    assume(abs(p_value - (1 - confidence)) > 1e-9)
    assert (p_value < 1 - confidence) == bool(found.low[0] > 0 or found.high[0] < 0)


def test_p_values_are_those_found_by_searching_for_the_level() -> None:
    rng = np.random.default_rng(5)
    for size, shift in ((6, 0.05), (12, -0.05), (50, 0.02), (50, -0.02)):
        values = np.clip(rng.normal(size=(size, 10)) ** 3 * 0.1 + shift, -1, 1)
        found = paired_p_values(mean_interval(values, 0.95, bounds=(-1, 1)))
        assert found == pytest.approx([skewed_p_value(values[:, i]) for i in range(10)], rel=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_q_values_are_those_of_statsmodels(p_values: list[float]) -> None:
    assert benjamini_hochberg(np.array(p_values)) == pytest.approx(multipletests(p_values, method="fdr_bh")[1])


def test_distances_at_their_ends() -> None:
    p, q = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    assert (total_variation(p, q), jensen_shannon(p, q)) == (1.0, 1.0)
    assert (total_variation(p, p), jensen_shannon(p, p)) == (0.0, 0.0)
