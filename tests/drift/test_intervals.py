"""Intervals of means at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from valuedrift.drift.intervals import mean_interval

UNIT, SIGNED = (0.0, 1.0), (-1.0, 1.0)


def test_one_prompt_says_nothing_about_others() -> None:
    found = mean_interval(np.array([[0.4]]), 0.95, bounds=UNIT)
    assert (found.estimate[0], found.low[0], found.high[0]) == (0.4, 0.0, 1.0)
    assert np.isnan(found.error[0])


def test_no_prompt_has_no_mean() -> None:
    assert np.isnan(mean_interval(np.full((3, 1), np.nan), 0.95, bounds=UNIT).estimate[0])


def test_prompts_that_agree_give_the_point_itself() -> None:
    found = mean_interval(np.full((10, 1), 0.3), 0.95, bounds=UNIT)
    assert (found.low[0], found.high[0]) == (pytest.approx(0.3), pytest.approx(0.3))


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 0.0711), (1.0, 0.9289, 1.0)])
def test_hard_labels_that_never_differ_leave_the_room_of_none_in_fifty(value: float, low: float, high: float) -> None:
    found = mean_interval(np.full((50, 1), value), 0.95, bounds=UNIT)
    assert (found.low[0], found.high[0]) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    exact = stats.binomtest(0 if value == 0 else 50, 50).proportion_ci(0.95)
    assert (found.low[0], found.high[0]) == (pytest.approx(exact.low), pytest.approx(exact.high))


def test_answers_that_did_not_change_leave_room_on_both_sides() -> None:
    found = mean_interval(np.zeros((50, 1)), 0.95, bounds=SIGNED)
    assert found.low[0] == -found.high[0] == pytest.approx(-0.0711, abs=1e-4)


def test_a_skewed_mean_of_few_prompts_is_taken_on_the_logit_scale() -> None:
    values = np.array([0.9, 0.02, 0.02, 0.03, 0.01, 0.05, 0.02, 0.04, 0.01, 0.1])
    found = mean_interval(values[:, None], 0.95, bounds=UNIT)
    mean, error = values.mean(), stats.sem(values)
    assert mean - stats.t.ppf(0.975, 9) * error < 0, "the symmetric interval would leave [0, 1]"
    reach = stats.t.ppf(0.975, 9) * error / (mean * (1 - mean))
    centre = np.log(mean / (1 - mean))
    assert found.low[0] == pytest.approx(1 / (1 + np.exp(-(centre - reach))))
    assert found.high[0] == pytest.approx(1 / (1 + np.exp(-(centre + reach))))


def test_signed_values_mirror() -> None:
    values = np.random.default_rng(0).beta(5, 1, size=(12, 1))
    one, other = mean_interval(values, 0.95, bounds=SIGNED), mean_interval(-values, 0.95, bounds=SIGNED)
    assert one.low[0] == pytest.approx(-other.high[0])
    assert one.high[0] == pytest.approx(-other.low[0])


def test_missing_prompts_are_left_out_column_by_column() -> None:
    values = np.random.default_rng(1).uniform(0.2, 0.8, size=(20, 3))
    holed = values.copy()
    holed[:4, 1] = np.nan
    found = mean_interval(holed, 0.95, bounds=UNIT)
    alone = mean_interval(values[4:, 1:2], 0.95, bounds=UNIT)
    assert found.count.tolist() == [20, 16, 20]
    assert (found.estimate[1], found.low[1]) == (pytest.approx(alone.estimate[0]), pytest.approx(alone.low[0]))
