"""The same numbers from scipy, statsmodels and pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
from made_stances import P_COLUMNS, STANCES, from_curves, made_stances
from scipy import stats
from scipy.spatial.distance import jensenshannon
from skewed_t import skewed_interval, skewed_p_value
from statsmodels.stats.multitest import multipletests

from valuedrift.drift.analyze import Drift, analyze
from valuedrift.drift.options import Analysis


@pytest.fixture(scope="module")
def stances() -> pl.DataFrame:
    return made_stances(runs=2, steps=4, topics=3, prompts=40, samples=5, drift=0.6, seed=11)


@pytest.fixture(scope="module")
def found(stances: pl.DataFrame) -> Drift:
    return analyze(stances, Analysis())


def clustered(rows: pd.DataFrame, column: str) -> sm.regression.linear_model.RegressionResults:
    """Statsmodels' mean with the error clustered by prompt and t on prompts − 1 degrees of freedom."""
    return sm.OLS(rows[column].to_numpy(), np.ones(len(rows))).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(rows.prompt_id)[0]}, use_t=True
    )


def test_mean_and_interval_are_those_of_statsmodels_with_errors_clustered_by_prompt(stances: pl.DataFrame, found: Drift) -> None:
    frame = stances.to_pandas()
    assert len(found.trajectory) == 2 * 4 * 3 * 3
    for row in found.trajectory.sample(20, seed=1).iter_rows(named=True):
        rows = frame[(frame.run_id == row["run_id"]) & (frame.step == row["step"]) & (frame.topic == row["topic"])]
        fit = clustered(rows, f"p_{row['stance']}")
        assert row["mean"] == pytest.approx(fit.params[0], abs=1e-12)
        values = rows.groupby("prompt_id")[f"p_{row['stance']}"].mean()
        assert fit.bse[0] == pytest.approx(stats.sem(values), rel=1e-9)
        low, high = skewed_interval(values, bounds=(0.0, 1.0))
        assert (row["low"], row["high"]) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
        plain = fit.conf_int(0.05)[0]
        assert row["low"] <= plain[0] + 1e-12
        assert plain[1] - 1e-12 <= row["high"]
        assert row["high"] - row["low"] < 1.2 * (plain[1] - plain[0])
        assert row["n_prompts"] == 40


def test_magnitude_interval_and_p_value_are_those_of_the_paired_test(stances: pl.DataFrame, found: Drift) -> None:
    means = stances.to_pandas().groupby(["run_id", "topic", "step", "prompt_id"])[list(P_COLUMNS)].mean()
    for row in found.drift.iter_rows(named=True):
        one = means.loc[row["run_id"], row["topic"]][f"p_{row['stance']}"].unstack("step")
        moved = one[300] - one[0]
        low, high = skewed_interval(moved)
        assert row["magnitude"] == pytest.approx(moved.mean(), abs=1e-12)
        assert row["p_value"] == pytest.approx(skewed_p_value(moved), rel=1e-6)
        assert (row["magnitude_low"], row["magnitude_high"]) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
        plain = stats.ttest_rel(one[300], one[0])
        assert row["p_value"] >= plain.pvalue * (1 - 1e-9), "skewness only ever takes certainty away"
        assert row["magnitude_low"] <= plain.confidence_interval(0.95).low + 1e-12
        assert plain.confidence_interval(0.95).high - 1e-12 <= row["magnitude_high"]
        assert (row["from_step"], row["to_step"]) == (0, 300)


def test_without_skewness_all_of_it_is_the_plain_t_of_statsmodels_and_scipy() -> None:
    rng = np.random.default_rng(2)
    start, moved = rng.uniform(0.25, 0.4, size=15), rng.normal(0, 0.05, size=15)
    before, after = np.concatenate([start, 0.8 - start]), np.concatenate([start + 0.03 + moved, 0.8 - start + 0.03 - moved])
    stances = from_curves(np.stack([before, after], axis=1))
    found = analyze(stances, Analysis())
    for step, row in ((0, 0), (100, 1)):
        fit = clustered(stances.filter(step=step).to_pandas(), "p_support")
        line = found.trajectory.filter(stance="support").row(row, named=True)
        assert (line["low"], line["high"]) == (
            pytest.approx(fit.conf_int(0.05)[0][0], abs=1e-9),
            pytest.approx(fit.conf_int(0.05)[0][1], abs=1e-9),
        )
    test = stats.ttest_rel(after, before)
    drift = found.drift.filter(stance="support").row(0, named=True)
    assert drift["p_value"] == pytest.approx(test.pvalue, rel=1e-9)
    assert (drift["magnitude_low"], drift["magnitude_high"]) == (
        pytest.approx(test.confidence_interval(0.95).low, abs=1e-9),
        pytest.approx(test.confidence_interval(0.95).high, abs=1e-9),
    )


def test_q_values_are_those_of_statsmodels_for_each_run_and_for_the_study(found: Drift) -> None:
    drift = found.drift
    for part in drift.partition_by("run_id"):
        assert part["q_value"].to_numpy() == pytest.approx(multipletests(part["p_value"].to_numpy(), method="fdr_bh")[1])
    assert drift["q_value_study"].to_numpy() == pytest.approx(multipletests(drift["p_value"].to_numpy(), method="fdr_bh")[1])


def test_distances_are_those_of_scipy_between_the_mean_distributions(stances: pl.DataFrame, found: Drift) -> None:
    means = stances.to_pandas().groupby(["run_id", "topic", "step"])[list(P_COLUMNS)].mean()
    for (run, topic), part in found.drift.partition_by("run_id", "topic", as_dict=True).items():
        before, after = means.loc[run, topic, 0].to_numpy(), means.loc[run, topic, 300].to_numpy()
        assert part["total_variation"].to_list() == pytest.approx([np.abs(after - before).sum() / 2] * 3)
        assert part["jensen_shannon"].to_list() == pytest.approx([jensenshannon(before, after, base=2)] * 3)
        assert part["stance"].to_list() == list(STANCES)


def test_unequal_samples_weigh_prompts_equally(stances: pl.DataFrame) -> None:
    thinned = stances.filter((pl.col("sample_idx") == 0) | pl.col("prompt_id").str.ends_with("3") | (pl.col("step") > 100))
    found = analyze(thinned, Analysis())
    by_prompt = thinned.to_pandas().groupby(["run_id", "topic", "step", "prompt_id"])["p_neutral"].mean()
    row = found.trajectory.filter(run_id="run1", topic="topic2", step=100, stance="neutral").row(0, named=True)
    assert row["mean"] == pytest.approx(by_prompt.loc["run1", "topic2", 100].mean(), abs=1e-12)
    assert any("unequal" in warning for warning in found.warnings)


def test_missing_prompts_leave_the_pairs_that_are_whole(stances: pl.DataFrame) -> None:
    gone = (pl.col("step") == 300) & pl.col("prompt_id").is_in([f"t0-p{i}" for i in range(7)])
    kept = stances.filter(~gone)
    found = analyze(kept, Analysis())
    row = found.drift.filter(run_id="run0", topic="topic0", stance="support").row(0, named=True)
    means = kept.to_pandas().groupby(["run_id", "topic", "step", "prompt_id"])["p_support"].mean().loc["run0", "topic0"].unstack("step")
    pairs = means.dropna()
    assert (row["n_prompts"], row["p_value"]) == (33, pytest.approx(skewed_p_value(pairs[300] - pairs[0])))
    assert row["magnitude"] == pytest.approx((pairs[300] - pairs[0]).mean())
    at_end = found.coverage.filter(run_id="run0", topic="topic0", step=300).row(0, named=True)
    assert (at_end["n_prompts"], at_end["missing_prompts"]) == (33, 7)
    assert any("prompts are missing" in warning for warning in found.warnings)


@pytest.mark.parametrize("confidence", [0.8, 0.99])
def test_confidence_sets_the_level_of_the_intervals(stances: pl.DataFrame, confidence: float) -> None:
    row = analyze(stances, Analysis(confidence=confidence)).drift.row(0, named=True)
    means = stances.to_pandas().groupby(["run_id", "topic", "step", "prompt_id"])["p_support"].mean().loc["run0", "topic0"].unstack("step")
    low, high = skewed_interval(means[300] - means[0], confidence)
    assert (row["magnitude_low"], row["magnitude_high"]) == (pytest.approx(low), pytest.approx(high))


def test_columns_are_those_of_the_tables(found: Drift) -> None:
    assert found.trajectory.columns == ["run_id", "step", "topic", "stance", "mean", "low", "high", "n_prompts"]
    assert found.drift.columns[:16] == [
        "run_id", "topic", "stance", "from_step", "to_step", "magnitude", "magnitude_low", "magnitude_high",
        "drift_time", "drift_time_low", "drift_time_high", "n_prompts", "p_value", "q_value", "total_variation", "jensen_shannon",
    ]  # fmt: skip
