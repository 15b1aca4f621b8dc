"""Two runs compared, paired on prompts."""

from __future__ import annotations

import polars as pl
import pytest
from made_stances import made_stances
from skewed_t import skewed_p_value

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis
from valuedrift.errors import DataError

FAST = Analysis(resamples=100)


@pytest.fixture(scope="module")
def stances() -> pl.DataFrame:
    return made_stances(runs=3, prompts=20, steps=3, seed=8)


def test_the_second_run_minus_the_first_at_their_last_checkpoints(stances: pl.DataFrame) -> None:
    found = analyze(stances, FAST, between=("run2", "run0")).drift
    means = stances.to_pandas().groupby(["run_id", "topic", "step", "prompt_id"])["p_support"].mean()
    p_value = skewed_p_value(means.loc["run0", "topic1", 200] - means.loc["run2", "topic1", 200])
    row = found.filter(topic="topic1", stance="support").row(0, named=True)
    assert (row["run_id"], row["baseline_run_id"], row["from_step"], row["to_step"]) == ("run0", "run2", 200, 200)
    assert row["p_value"] == pytest.approx(p_value)
    assert row["magnitude"] == pytest.approx(means.loc["run0", "topic1", 200].mean() - means.loc["run2", "topic1", 200].mean())
    assert row["drift_time"] is None


def test_each_run_at_its_own_step(stances: pl.DataFrame) -> None:
    row = analyze(stances, FAST, between=("run2", "run0"), from_step=100, to_step=0).drift.row(0, named=True)
    assert (row["from_step"], row["to_step"]) == (100, 0)


def test_swapping_the_runs_turns_the_sign(stances: pl.DataFrame) -> None:
    one, other = (analyze(stances, FAST, between=runs).drift for runs in (("run0", "run1"), ("run1", "run0")))
    assert one["magnitude"].to_list() == pytest.approx((-other["magnitude"]).to_list())
    assert one["p_value"].to_list() == pytest.approx(other["p_value"].to_list())


def test_only_common_prompts_are_paired(stances: pl.DataFrame) -> None:
    frame = stances.filter(~((pl.col("run_id") == "run0") & pl.col("prompt_id").is_in(["t0-p3", "t0-p5"])))
    found = analyze(frame, FAST, between=("run0", "run1")).drift
    assert found.filter(topic="topic0")["n_prompts"].to_list() == [18] * 3


def test_runs_without_common_prompts_cannot_be_compared(stances: pl.DataFrame) -> None:
    other = pl.when(pl.col("run_id") == "run0").then(pl.col("prompt_id") + "x").otherwise("prompt_id").alias("prompt_id")
    with pytest.raises(DataError, match="no topic with two prompts in common"):
        analyze(stances.with_columns(other), FAST, between=("run0", "run1"))


@pytest.mark.parametrize(
    ("runs", "step", "message"),
    [(("run0", "runX"), None, "no run 'runX'"), (("run0", "run0"), None, "itself"), (("run0", "run1"), 150, "no step 150")],
)
def test_what_cannot_be_compared_is_said(stances: pl.DataFrame, runs: tuple[str, str], step: int | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        analyze(stances, FAST, between=runs, to_step=step)


def _two_studies(stances: pl.DataFrame) -> pl.DataFrame:
    """Both studies have all runs; those of the second moved to where another run of the first went."""
    turned = pl.col("run_id").replace({"run0": "run2", "run2": "run0"}).alias("run_id")
    return pl.concat([stances.with_columns(study=pl.lit("one")), stances.with_columns(turned, study=pl.lit("two"))])


def test_runs_of_two_studies_are_compared_by_study_and_run(stances: pl.DataFrame) -> None:
    within = analyze(stances, FAST, between=("run2", "run0")).drift
    across = analyze(_two_studies(stances), FAST, between=("two/run0", "one/run0")).drift  # what is run0 of two is run2 of one
    assert across["magnitude"].to_list() == within["magnitude"].to_list()
    assert across["p_value"].to_list() == within["p_value"].to_list()
    assert across.select("study", "run_id", "baseline_study", "baseline_run_id").unique().rows() == [("one", "run0", "two", "run0")]


def test_runs_that_several_studies_have_are_compared_within_each(stances: pl.DataFrame) -> None:
    found = analyze(_two_studies(stances), FAST, between=("run1", "run0")).drift
    assert found.select("study", "baseline_study").unique().sort("study").rows() == [("one", "one"), ("two", "two")]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (("one/run0", "three/run0"), "no run 'three/run0'.*one/run0, one/run1"),
        (("one/run0", "one/run0"), "itself"),
        (("one/run0", "two/run9"), "no run 'two/run9'"),
    ],
)
def test_a_study_or_run_that_is_not_there_is_said(stances: pl.DataFrame, runs: tuple[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        analyze(_two_studies(stances), FAST, between=runs)


def test_runs_that_no_one_judge_judged_are_not_compared(stances: pl.DataFrame) -> None:
    judged = stances.with_columns(judge=pl.when(pl.col("run_id") == "run0").then(pl.lit("gpt")).otherwise(pl.lit("people")))
    with pytest.raises(DataError, match="no judge has judged both runs: 'run0' by gpt and 'run1' by people"):
        analyze(judged, FAST, between=("run0", "run1"))
