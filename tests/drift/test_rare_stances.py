"""How far intervals hold for stances that few prompts take: a grid of worlds whose true mean is set. Prints the coverage and asserts the attained level."""

from __future__ import annotations

import numpy as np
import pytest
from made_stances import made_stances, softmax
from numpy.typing import NDArray
from scipy.optimize import brentq

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis
from valuedrift.statistics.intervals import mean_interval

SAMPLES, REPLICATES, DRIFT = 5, 4000, 1.0


def prompt_means(score: float, sure: float, prompts: int, replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The first stance at two checkpoints, its score higher by `DRIFT` on average at the second. Shape (prompts, replicates, 2)."""
    level = np.array([score, 0.3, 0.0]) + rng.normal(size=(prompts, replicates, 1, 3))
    level = np.repeat(level, 2, axis=2)
    level[:, :, 1, 0] += DRIFT * (1 + 0.7 * rng.normal(size=(prompts, replicates)))
    total = np.zeros(level.shape[:3])
    for _ in range(SAMPLES):
        total += softmax(sure * (level + 0.7 * rng.normal(size=level.shape)))[..., 0]
    return total / SAMPLES


def score_of(mean: float, sure: float) -> float:
    """The score that gives the first stance this mean."""
    noise = np.random.default_rng(9).normal(size=(40_000, 3)) * np.sqrt(1 + 0.7**2)
    return float(brentq(lambda score: softmax(sure * (np.array([score, 0.3, 0.0]) + noise))[:, 0].mean() - mean, -12, 6, xtol=1e-3))


@pytest.mark.slow
@pytest.mark.parametrize("sure", [1.0, 4.0])
@pytest.mark.parametrize(("mean", "at_50", "at_10"), [(0.3, 0.94, 0.93), (0.1, 0.94, 0.915), (0.03, 0.93, 0.87)])
def test_coverage_by_how_rare_a_stance_is(mean: float, at_50: float, at_10: float, sure: float) -> None:
    score, rng = score_of(mean, sure), np.random.default_rng(4)
    truth = prompt_means(score, sure, 150_000, 1, rng)[:, 0].mean(axis=0)
    made = prompt_means(score, sure, 50, REPLICATES, rng)
    for prompts, least in ((50, at_50), (10, at_10)):
        some = made[:prompts]
        level = mean_interval(some[..., 0], 0.95, bounds=(0.0, 1.0))
        moved = mean_interval(some[..., 1] - some[..., 0], 0.95, bounds=(-1.0, 1.0))
        shares = [float(((one.low <= true) & (true <= one.high)).mean()) for one, true in ((level, truth[0]), (moved, truth[1] - truth[0]))]
        print(f"mean {truth[0]:.3f}, sure {sure}, {prompts} prompts: mean {shares[0]:.1%}, drift {shares[1]:.1%}")
        assert min(shares) >= least
        assert max(shares) <= 0.975


def test_a_stance_that_less_than_one_prompt_takes_is_warned_of() -> None:
    some = made_stances(prompts=10, topics=1, seed=1)
    assert not any("n × mean < 1" in warning for warning in analyze(some, Analysis(resamples=100)).warnings)
    rare = some.with_columns(p_support=some["p_support"] * 0.1, p_neutral=some["p_neutral"] + 0.9 * some["p_support"])
    warning = next(warning for warning in analyze(rare, Analysis(resamples=100)).warnings if "n × mean < 1" in warning)
    assert warning.startswith("3 of 9 means")
