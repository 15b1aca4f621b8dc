"""The intervals over many looks, against other ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from valuedrift.errors import UserError
from valuedrift.watching.discernible import smallest_discernible_drift
from valuedrift.watching.many_looks import changes
from valuedrift.watching.spending import Spending


def made(prompts: int, looks: int, *, seed: int = 0, scale: float = 0.1, runs: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(0.2, 0.8, (prompts, 1, runs)) + scale * rng.normal(size=(prompts, looks + 1, runs))


@given(
    cells=st.integers(1, 500),
    planned=st.one_of(st.none(), st.integers(1, 300)),
    confidence=st.floats(0.6, 0.999),
    looks=st.integers(1, 1000),
)
def test_never_more_than_the_error_is_spent(cells: int, planned: int | None, confidence: float, looks: int) -> None:
    spent = Spending(confidence, cells, planned).spent(np.arange(looks + 1.0))
    assert spent[0] == 0
    assert (np.diff(spent) > 0).all()
    assert spent[-1] < 1 + 1e-12


@settings(max_examples=5, deadline=None)
@given(looks=st.integers(1, 60), more=st.integers(0, 100), planned=st.one_of(st.none(), st.integers(1, 80)))
def test_a_look_keeps_its_level_whatever_comes_after(looks: int, more: int, planned: int | None) -> None:
    spending = Spending(0.95, 33, planned)
    assert np.array_equal(spending.levels(looks), spending.levels(looks + more)[:looks])


@pytest.mark.parametrize("planned", [40, None])
def test_levels_are_such_that_a_cell_misses_as_often_as_it_may(planned: int | None) -> None:
    """Normal errors of known size: one start, forty looks at it, one by one and in pairs."""
    looks, trainings = 40, 40_000
    spending = Spending(0.8, 1, planned)
    levels = spending.levels(looks)
    rng = np.random.default_rng(1)
    errors = rng.normal(size=(looks + 1, trainings))
    moved = errors[1:] - errors[0]
    reach = stats.norm.isf(np.maximum(levels, 1e-300) / 2) * np.sqrt([2.0, 1.5])
    alone = np.abs(moved) > reach[:, :1]
    both = np.abs((moved[1:] + moved[:-1]) / 2) > reach[1:, 1:]
    alone[1:] |= both
    missed = alone.any(axis=0).mean()
    allowed = 0.2 * spending.spent(np.array([float(looks)]))[0]
    assert 0.7 * allowed <= missed <= allowed + 0.005


def test_the_first_look_is_the_paired_t_interval() -> None:
    values = made(20, 1)
    level = 0.001
    found = changes(values, np.array([[level, 0.0]]))
    for run in range(3):
        plain = stats.ttest_rel(values[:, 1, run], values[:, 0, run]).confidence_interval(1 - level)
        assert found.low[0, 0, run] == pytest.approx(plain.low, abs=1e-12)
        assert found.high[0, 0, run] == pytest.approx(plain.high, abs=1e-12)
    assert (found.low[0, 1] == -1).all()
    assert (found.high[0, 1] == 1).all()


def test_later_looks_know_the_noise_from_all_checkpoints() -> None:
    """Where no look stands out: change ± t · √(2 σ² / P), σ² the residual of the two-way layout prompts × checkpoints, fitted by least squares."""
    prompts, looks, level = 15, 6, 0.001
    values = made(prompts, looks, runs=1)
    found = changes(values, np.full((looks, 2), level))
    for last in range(2, looks + 1):
        y = values[:, : last + 1, 0].ravel()
        of_prompt, of_time = np.repeat(np.arange(prompts), last + 1), np.tile(np.arange(last + 1), prompts)
        design = np.hstack([np.eye(prompts)[of_prompt], np.eye(last + 1)[of_time][:, 1:]])
        left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        freedom = (prompts - 1) * last
        noise = left @ left / freedom
        for which, scale in enumerate((2.0, 1.5)):
            half = stats.t.isf(level / 2, freedom) * np.sqrt(scale * noise / prompts)
            assert (found.high - found.low)[last - 1, which, 0] / 2 == pytest.approx(half, rel=1e-9)
    assert found.change[3, 1, 0] == pytest.approx(values[:, 3:5, 0].mean() - values[:, 0, 0].mean(), abs=1e-12)


@pytest.mark.parametrize("kept", [0.0, 0.7, 0.9])
def test_the_noise_is_known_where_prompts_keep_their_answers_for_a_while(kept: float) -> None:
    """The error that an interval goes by, against how far the changes of many such runs without drift really scatter."""
    prompts, looks, runs = 50, 40, 2000
    rng = np.random.default_rng(4)
    values = rng.normal(size=(prompts, looks + 1, runs))
    for at in range(1, looks + 1):
        values[:, at] = np.where(rng.random((prompts, runs)) < kept, values[:, at - 1], values[:, at])
    level = 0.01
    found = changes(0.5 + 0.1 * values, np.full((looks, 2), level))
    for which in (0, 1):
        true = found.change[-1, which].std()
        taken = ((found.high - found.low)[-1, which] / 2).mean() / stats.t.isf(level / 2, 49 * looks)
        assert 0.96 <= taken / true <= 1.06


def test_where_prompts_drift_by_unequal_amounts_the_interval_is_longer() -> None:
    prompts, looks = 40, 20
    values = made(prompts, looks)
    level = np.full((looks, 2), 1e-4)
    even, uneven = values.copy(), values.copy()
    even[:, 11:] += 0.2
    uneven[:, 11:] += np.where(np.arange(prompts) % 4 == 0, 0.8, 0.0)[:, None, None]
    of_even, of_uneven = changes(even, level), changes(uneven, level)
    assert of_uneven.change[15, 0] == pytest.approx(of_even.change[15, 0])
    ratio = (of_uneven.high - of_uneven.low)[15, 0] / (of_even.high - of_even.low)[15, 0]
    assert (ratio > 1.5).all()
    assert (of_even.high - of_even.low)[15] == pytest.approx((changes(values, level).high - changes(values, level).low)[15])


@given(seed=st.integers(0, 1000), missing=st.floats(0, 0.6), cut=st.integers(1, 9))
@settings(deadline=None, max_examples=50)
def test_more_checkpoints_and_prompts_that_began_later_change_nothing_before(seed: int, missing: float, cut: int) -> None:
    rng = np.random.default_rng(seed)
    values = made(8, 9, seed=seed)
    values[rng.random(values.shape[:2]) < missing] = np.nan
    later = np.full((3, 10, 3), np.nan)
    later[:, cut + 1 :] = 0.5
    levels = Spending(0.95, 33).levels(9)
    whole, before = changes(np.concatenate([values, later]), levels), changes(values[:, : cut + 1], levels[:cut])
    for name in ("change", "low", "high", "count"):
        assert np.array_equal(getattr(whole, name)[:cut], getattr(before, name), equal_nan=True), name


@given(seed=st.integers(0, 1000), prompts=st.integers(1, 12), missing=st.floats(0, 0.9))
@settings(deadline=None, max_examples=50)
def test_an_interval_holds_its_change_and_lies_within_its_bounds(seed: int, prompts: int, missing: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.random((prompts, 7, 2)), 1)
    values[rng.random(values.shape[:2]) < missing] = np.nan
    found = changes(values, Spending(0.95, 33, 6).levels(6))
    assert ((found.low >= -1) & (found.high <= 1)).all()
    there = ~np.isnan(found.change)
    assert (there == (found.count > 0)).all()
    assert (found.low[there] <= found.change[there] + 1e-12).all()
    assert (found.high[there] >= found.change[there] - 1e-12).all()
    assert (found.low[found.count < 2] == -1).all()


def test_prompts_that_missed_the_start_or_the_look_do_not_enter() -> None:
    values = made(20, 2)
    holed = values.copy()
    holed[0, 0], holed[1, 2] = np.nan, np.nan
    found = changes(holed, np.full((2, 2), 1e-3))
    assert found.count[:, 0, 0].tolist() == [19, 18]
    assert found.count[1, 1, 0] == 18
    assert found.change[1, 0] == pytest.approx((values[2:, 2] - values[2:, 0]).mean(axis=0))


def test_nothing_that_moved_is_no_point() -> None:
    values = np.repeat(np.random.default_rng(0).random((50, 1, 1)), 4, axis=1)
    found = changes(values, Spending(0.95, 33, 3).levels(3))
    assert (found.change[:, 0] == 0).all()
    assert (found.low[:, 0] < -0.1).all()
    assert (found.high[:, 0] > 0.1).all()


@pytest.mark.parametrize(("prompts", "told"), [(50, True), (10, False), (2, False)])
def test_prompts_that_all_move_alike_are_told_where_their_signs_are_enough(prompts: int, told: bool) -> None:
    values = np.repeat(np.random.default_rng(0).uniform(0, 0.5, (prompts, 1, 1)).astype(np.float32), 2, axis=1)
    values[:, 1] += np.float32(0.2)
    found = changes(values.astype(float), Spending(0.95, 33, 100).levels(1), rounding=2.0**-23)
    assert (found.low[0, 0, 0] > 0) == told


def test_the_smallest_discernible_drift_shrinks_with_prompts_and_answers_and_grows_with_looks_and_cells() -> None:
    base = smallest_discernible_drift(Spending(0.95, 33, 100), 50, 5)
    assert smallest_discernible_drift(Spending(0.95, 33, 100), 100, 5) < base
    assert smallest_discernible_drift(Spending(0.95, 33, 100), 50, 20) < base
    assert smallest_discernible_drift(Spending(0.95, 33, 250), 50, 5) > base
    assert smallest_discernible_drift(Spending(0.95, 330, 100), 50, 5) > base
    assert smallest_discernible_drift(Spending(0.95, 1, 1), 50, 5) < base < 0.2
    assert smallest_discernible_drift(Spending(0.95, 33, 100), 2, 1) == 1
    with pytest.raises(UserError, match="1 prompts"):
        smallest_discernible_drift(Spending(0.95, 33, 100), 1, 5)
