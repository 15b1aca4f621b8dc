"""Tests of differences where there is no variance to stand on, and the correction for many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from valuedrift.drift.distances import jensen_shannon, total_variation
from valuedrift.drift.intervals import mean_interval
from valuedrift.drift.significance import benjamini_hochberg, paired_p_values


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 1.0), (0.25, 2.0**-9), (-0.25, 2.0**-9)])
def test_prompts_that_all_move_alike_are_judged_by_their_signs(shift: float, expected: float) -> None:
    found = mean_interval(np.full((10, 1), shift), 0.95, bounds=(-1, 1))
    assert paired_p_values(found)[0] == pytest.approx(expected)


def test_one_prompt_has_no_p_value() -> None:
    assert np.isnan(paired_p_values(mean_interval(np.array([[0.2]]), 0.95, bounds=(-1, 1)))[0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_q_values_are_those_of_statsmodels(p_values: list[float]) -> None:
    assert benjamini_hochberg(np.array(p_values)) == pytest.approx(multipletests(p_values, method="fdr_bh")[1])


def test_distances_at_their_ends() -> None:
    p, q = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    assert (total_variation(p, q), jensen_shannon(p, q)) == (1.0, 1.0)
    assert (total_variation(p, p), jensen_shannon(p, p)) == (0.0, 0.0)
