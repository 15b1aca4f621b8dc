"""What must hold for any stance table."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_stances import made_stances
from polars.testing import assert_frame_equal

from valuedrift.drift.analyze import Drift, analyze
from valuedrift.drift.options import Analysis

FAST = Analysis(resamples=100)
tables = st.builds(
    made_stances,
    runs=st.integers(1, 2),
    steps=st.integers(2, 4),
    topics=st.integers(1, 2),
    prompts=st.integers(2, 7),
    samples=st.integers(1, 3),
    drift=st.sampled_from([0.0, 0.5, 3.0]),
    noise=st.sampled_from([0.0, 0.7, 4.0]),
    seed=st.integers(0, 10_000),
)
some = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def equal(a: Drift, b: Drift, *, exact: bool = True) -> None:
    assert_frame_equal(a.drift, b.drift, check_exact=exact, abs_tol=1e-9)
    assert_frame_equal(a.trajectory, b.trajectory, check_exact=exact, abs_tol=1e-9)


@some
@given(tables)
def test_the_three_magnitudes_sum_to_zero_and_all_numbers_lie_in_their_ranges(stances: pl.DataFrame) -> None:
    found = analyze(stances, FAST)
    drift, trajectory = found.drift, found.trajectory
    sums = drift.group_by("run_id", "topic").agg(pl.col("magnitude").sum())["magnitude"].to_numpy()
    assert np.abs(sums).max() < 1e-12
    assert trajectory.filter((pl.col("low") > pl.col("mean")) | (pl.col("mean") > pl.col("high"))).is_empty()
    assert trajectory["low"].min() >= 0
    assert trajectory["high"].max() <= 1
    assert drift.filter(
        (pl.col("magnitude_low") > pl.col("magnitude") + 1e-12) | (pl.col("magnitude") > pl.col("magnitude_high") + 1e-12)
    ).is_empty()
    for name in ("p_value", "q_value", "q_value_study", "total_variation", "jensen_shannon"):
        assert drift[name].is_between(0, 1).all(), name
    assert (drift["q_value"] >= drift["p_value"] - 1e-15).all()
    timed = drift.filter(pl.col("drift_time").is_not_null())
    assert timed.filter(
        ~(pl.col("drift_time_low") <= pl.col("drift_time")) | ~(pl.col("drift_time") <= pl.col("drift_time_high"))
    ).is_empty()
    assert timed["drift_time_low"].is_between(0, 1).all()
    assert timed["drift_time_high"].is_between(0, 1).all()
    untimed = drift.filter(pl.col("drift_time").is_null())
    assert untimed["drift_time_note"].is_not_null().all()
    assert untimed["drift_time_low"].is_null().all()


@some
@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_bit(stances: pl.DataFrame, random: object) -> None:
    shuffled = stances.sample(fraction=1, shuffle=True, seed=random.randrange(1000))  # type: ignore[attr-defined]  # random.Random
    equal(analyze(stances, FAST), analyze(shuffled, FAST))


@some
@given(tables)
def test_samples_that_say_the_same_again_change_nothing(stances: pl.DataFrame) -> None:
    again = pl.concat([stances, stances.with_columns(pl.col("sample_idx") + 100)])
    equal(analyze(stances, FAST), analyze(again, FAST))


@some
@given(tables)
def test_renaming_prompts_changes_nothing_but_the_draws(stances: pl.DataFrame) -> None:
    renamed = stances.with_columns(pl.col("prompt_id").str.replace("p", "q"))
    equal(analyze(stances, FAST), analyze(renamed, FAST))
    reordered = analyze(stances.with_columns(pl.col("prompt_id").str.reverse()), FAST)
    timing = pl.selectors.starts_with("drift_time")
    assert_frame_equal(analyze(stances, FAST).drift.select(~timing), reordered.drift.select(~timing), abs_tol=1e-9)


@some
@given(tables)
def test_swapping_support_and_oppose_swaps_their_rows(stances: pl.DataFrame) -> None:
    swapped = analyze(stances.rename({"p_support": "p_oppose", "p_oppose": "p_support"}), FAST).drift
    names = {"support": "oppose", "neutral": "neutral", "oppose": "support"}
    back = swapped.with_columns(pl.col("stance").replace(names)).sort("run_id", "topic", "stance")
    assert_frame_equal(back, analyze(stances, FAST).drift.sort("run_id", "topic", "stance"), abs_tol=1e-9)


@some
@given(tables)
def test_one_study_among_others_keeps_its_numbers(stances: pl.DataFrame) -> None:
    alone = stances.with_columns(study=pl.lit("a"), judge=pl.lit("x"))
    other = made_stances(runs=2, steps=3, topics=2, prompts=5, seed=99).with_columns(study=pl.lit("b"), judge=pl.lit("x"))
    third = alone.with_columns(judge=pl.lit("y"))
    together = analyze(pl.concat([other, third, alone]), FAST)
    mine = together.drift.filter(study="a", judge="x")
    assert_frame_equal(mine, analyze(alone, FAST).drift, check_exact=True)
    assert together.drift.select("study", "judge").unique().height == 3


def test_lazy_and_eager_frames_give_the_same() -> None:
    stances = made_stances(runs=3, seed=4)
    equal(analyze(stances, FAST), analyze(stances.lazy(), FAST))


def test_batches_of_runs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stances = made_stances(runs=5, prompts=6, seed=4)
    whole = analyze(stances, FAST)
    monkeypatch.setattr("valuedrift.drift.analyze._BATCH_ROWS", 1)
    equal(whole, analyze(stances, FAST))


def test_the_seed_moves_only_drift_times() -> None:
    stances = made_stances(prompts=6, steps=8, drift=1.0, seed=4)
    one, two = (analyze(stances, Analysis(seed=seed, resamples=100)) for seed in (0, 1))
    assert_frame_equal(one.trajectory, two.trajectory, check_exact=True)
    assert_frame_equal(one.drift.select("magnitude", "p_value", "magnitude_low"), two.drift.select("magnitude", "p_value", "magnitude_low"))
