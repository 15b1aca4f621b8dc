"""Drift time on trajectories whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from made_stances import from_curves, made_stances
from numpy.typing import NDArray

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis

FAST = Analysis(resamples=200)


def support_row(curves: NDArray[np.float64], **steps: int) -> dict[str, object]:
    return analyze(from_curves(curves), FAST, **steps).drift.filter(stance="support").row(0, named=True)


def noisy(curve: list[float], *, prompts: int = 50, spread: float = 0.05, seed: int = 0) -> NDArray[np.float64]:
    """Prompts around a curve: each with its own level, each value with its own noise."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0, spread, size=(prompts, 1))
    return np.clip(np.array(curve) + level + rng.normal(0, spread, size=(prompts, len(curve))), 0, 1)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([0.2, 0.6, 0.6, 0.6, 0.6], 0.25),
        ([0.2, 0.3, 0.4, 0.5, 0.6], 1.0),
        ([0.7, 0.7, 0.7, 0.1, 0.1], 0.75),
        ([0.2, 0.4, 0.8, 0.5, 0.4], 0.5),
        ([0.5, 0.4, 0.1, 0.4, 0.8], 0.5),
    ],
    ids=["jump", "ramp", "late fall", "hump: the extremum, not the end", "farthest from the start, whichever side"],
)
def test_without_noise_it_is_when_the_extremum_is_reached(curve: list[float], expected: float) -> None:
    row = support_row(np.tile(curve, (10, 1)))
    assert (row["drift_time"], row["drift_time_low"], row["drift_time_high"]) == (expected, expected, expected)
    assert row["drift_time_warning"] is False


def test_it_is_the_first_step_within_the_trajectory_interval_of_the_extremum() -> None:
    found = analyze(made_stances(prompts=40, steps=21, samples=4, drift=3.0, topics=3, seed=5), FAST)
    checked = 0
    for row in found.drift.filter(found.drift["drift_time"].is_not_null()).iter_rows(named=True):
        line = found.trajectory.filter(run_id=row["run_id"], topic=row["topic"], stance=row["stance"]).sort("step")
        mean, low, high = (line[name].to_numpy() for name in ("mean", "low", "high"))
        at = np.abs(mean - mean[0]).argmax()
        within = np.flatnonzero((mean >= low[at]) & (mean <= high[at]))
        assert row["drift_time"] == pytest.approx(line["step"][int(within[0])] / 2000)
        checked += 1
    assert checked >= 6


def test_steps_are_weighed_by_their_distance_not_counted() -> None:
    curves = np.tile([0.2, 0.6, 0.6], (10, 1))
    frame = from_curves(curves)
    frame = frame.with_columns(frame["step"].replace({100: 10, 200: 1000}))
    assert analyze(frame, FAST).drift.filter(stance="support")["drift_time"].item() == pytest.approx(0.01)


def test_from_and_to_bound_the_phase() -> None:
    curves = np.tile([0.2, 0.9, 0.3, 0.5, 0.5, 0.5], (10, 1))
    row = support_row(curves, from_step=200, to_step=500)
    assert (row["from_step"], row["to_step"], row["drift_time"]) == (200, 500, pytest.approx(1 / 3))
    assert row["magnitude"] == pytest.approx(0.2)


def test_no_discernible_drift_has_a_reason_and_no_number() -> None:
    row = support_row(noisy([0.5] * 12))
    assert row["drift_time"] is None
    assert "no discernible drift" in str(row["drift_time_note"])


def test_a_model_that_never_changes_has_no_drift_time() -> None:
    row = support_row(np.tile(np.linspace(0.1, 0.9, 10)[:, None], (1, 4)))
    assert (row["drift_time"], row["magnitude"], row["p_value"]) == (None, 0.0, 1.0)


def test_a_start_within_the_interval_of_the_extremum_cannot_be_timed() -> None:
    rng = np.random.default_rng(0)
    level = rng.uniform(0.1, 0.7, size=(20, 1))
    row = support_row(level + np.array([0, 0.05, 0.05, 0.05]) + rng.normal(0, 0.01, size=(20, 4)))
    assert row["p_value"] < 1e-6  # type: ignore[operator]  # a float
    assert row["drift_time"] is None
    assert "too small to time" in str(row["drift_time_note"])


def test_a_poorly_timed_drift_carries_a_warning() -> None:
    found = analyze(from_curves(noisy([0.4, *np.linspace(0.45, 0.6, 19)], prompts=12, spread=0.1, seed=3)), FAST)
    row = found.drift.filter(stance="support").row(0, named=True)
    assert row["drift_time_high"] - row["drift_time_low"] > 0.5
    assert row["drift_time_warning"] is True
    assert "poorly" in row["drift_time_note"]
    assert any("poorly determined" in warning for warning in found.warnings)


def test_missing_prompts_do_not_make_a_drift() -> None:
    level = np.linspace(0.1, 0.9, 20)[:, None]
    curves = np.tile(level, (1, 6)) + np.random.default_rng(0).normal(0, 0.005, size=(20, 6))
    frame = from_curves(curves)
    low_gone = (frame["step"] == 300) & frame["prompt_id"].is_in([f"t0-p{i}" for i in range(10)])
    row = analyze(frame.filter(~low_gone), FAST).drift.filter(stance="support").row(0, named=True)
    assert row["drift_time"] is None
