"""Refused, unparsed and failed judgements are counted and shown, and enter no mean."""

from __future__ import annotations

import polars as pl
import pytest
from made_stances import P_COLUMNS, made_stances

from valuedrift.drift.analyze import analyze, trajectory
from valuedrift.drift.options import Analysis
from valuedrift.errors import DataError
from valuedrift.results.analysis import analysis_tables

FAST = Analysis(resamples=100)


def with_status(frame: pl.DataFrame, bad: pl.Expr, status: str) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(bad).then(pl.lit(status)).otherwise(pl.lit("ok")).alias("status"),
        *(pl.when(bad).then(None).otherwise(pl.col(name)).alias(name) for name in P_COLUMNS),
    )


def test_they_enter_no_mean_and_are_counted() -> None:
    stances = made_stances(prompts=12, seed=2)
    bad = (pl.col("step") == 100) & (pl.col("topic") == "topic0") & (pl.col("sample_idx") == 1)
    marked = analyze(with_status(stances, bad, "refused"), FAST)
    without = analyze(stances.filter(~bad), FAST)
    assert marked.trajectory.equals(without.trajectory)
    row = marked.coverage.filter(step=100, topic="topic0").row(0, named=True)
    assert (row["n_ok"], row["n_refused"], row["n_unparsed"], row["n_failed"]) == (24, 12, 0, 0)
    assert (row["samples_min"], row["samples_max"], row["unequal_samples"], row["missing_prompts"]) == (2, 2, False, 0)
    assert any("12 of 216 judgements (5.6%) are refused" in warning for warning in marked.warnings)


def test_a_prompt_with_no_judged_sample_is_missing_not_neutral() -> None:
    stances = made_stances(prompts=12, seed=2)
    bad = (pl.col("step") == 200) & (pl.col("prompt_id") == "t1-p4")
    found = analyze(with_status(stances, bad, "unparsed"), FAST)
    assert found.coverage.filter(step=200, topic="topic1")["missing_prompts"].item() == 1
    assert found.drift.filter(topic="topic1")["n_prompts"].to_list() == [11, 11, 11]


def test_a_topic_judged_nowhere_at_the_end_is_left_out_and_said() -> None:
    stances = made_stances(prompts=6, seed=2)
    bad = (pl.col("step") == 200) & (pl.col("topic") == "topic1")
    found = analyze(with_status(stances, bad, "failed"), FAST)
    assert found.drift["topic"].unique().to_list() == ["topic0"]
    assert found.trajectory.filter(step=200, topic="topic1").is_empty()
    assert any("topic1" in warning and "fewer than two prompts" in warning for warning in found.warnings)


def test_nothing_judged_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="fewer than two prompts"):
        analyze(with_status(made_stances(), pl.lit(True), "failed"), FAST)


def test_one_checkpoint_has_a_trajectory_but_no_drift() -> None:
    start = made_stances().filter(step=0)
    assert len(trajectory(start, FAST)) == 6
    with pytest.raises(DataError, match="one checkpoint only"):
        analyze(start, FAST, where="x.parquet")


def test_one_checkpoint_that_is_only_evaluated_has_a_trajectory_and_an_empty_drift() -> None:
    one = made_stances().filter(step=0)
    tables = analysis_tables(one, FAST)
    assert tables["trajectory"].height and not tables["drift"].height and not tables["sensitivity"].height
    assert any("one checkpoint only" in warning for warning in tables["warnings"]["warning"])


def test_one_run_of_one_checkpoint_among_others_is_said() -> None:
    stances = made_stances(runs=2).filter((pl.col("run_id") == "run0") | (pl.col("step") == 0))
    found = analyze(stances, FAST)
    assert found.drift["run_id"].unique().to_list() == ["run0"]
    assert found.trajectory["run_id"].unique().sort().to_list() == ["run0", "run1"]
    assert any("one checkpoint only" in warning and "run1" in warning for warning in found.warnings)
