"""Intervals of means at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from skewed_t import skewed_interval

from valuedrift.statistics.intervals import mean_interval

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


def test_a_mean_near_an_end_is_taken_on_the_logit_scale() -> None:
    values = np.array([0.175, 0.005, 0.165, 0.015, 0.155, 0.025, 0.145, 0.035, 0.09, 0.09])
    found = mean_interval(values[:, None], 0.95, bounds=UNIT)
    mean, error, t = values.mean(), stats.sem(values), stats.t.ppf(0.975, 9)
    assert abs(stats.skew(values)) < 1e-9
    assert mean - 2 * t * error < 0, "the symmetric interval, twice as wide, would leave [0, 1]"
    scale = error / (mean * (1 - mean))
    centre = np.log(mean / (1 - mean))
    curved = scale * (0.5 - mean) * t**2
    assert found.low[0] == pytest.approx(1 / (1 + np.exp(-(centre - scale * (t + curved)))))
    assert found.high[0] == pytest.approx(1 / (1 + np.exp(-(centre + scale * t))))


def test_one_prompt_in_ten_that_carries_the_mean_leaves_the_room_of_none_in_ten() -> None:
    values = np.array([0.9, 0.02, 0.02, 0.03, 0.01, 0.05, 0.02, 0.04, 0.01, 0.1])
    found = mean_interval(values[:, None], 0.95, bounds=UNIT)
    unseen = stats.binomtest(0, 10).proportion_ci(0.95).high
    mean, error, t = values.mean(), stats.sem(values), stats.t.ppf(0.975, 9)
    at_least = mean + unseen * (1 - mean)
    on_logit = 1 / (1 + np.exp(-(np.log(mean / (1 - mean)) + t * error / (mean * (1 - mean)))))
    assert found.high[0] >= max(at_least, on_logit) - 1e-12
    assert 0 < found.low[0] < 0.03


@pytest.mark.parametrize("seed", range(3))
def test_values_over_many_orders_of_magnitude_reach_further_up_than_a_plain_t_interval(seed: int) -> None:
    values = 10 ** np.random.default_rng(seed).uniform(-12, -1.5, size=(50, 1))
    found = mean_interval(values, 0.95, bounds=UNIT)
    plain = stats.t.interval(0.95, 49, loc=values.mean(), scale=stats.sem(values[:, 0]))
    assert plain[1] < 0.8 * found.high[0]
    assert found.low[0] > 0


def test_the_reference_gives_the_same_ends_on_the_plain_scale() -> None:
    rng = np.random.default_rng(3)
    for size in (3, 4, 10, 50):
        values = np.clip(rng.normal(size=(size, 40)) ** 3 * 0.1, -1, 1)
        found = mean_interval(values, 0.9, bounds=SIGNED)
        expected = np.array([skewed_interval(values[:, i], 0.9) for i in range(40)])
        assert found.low == pytest.approx(expected[:, 0], abs=1e-9)
        assert found.high == pytest.approx(expected[:, 1], abs=1e-9)


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
