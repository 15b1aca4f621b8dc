"""Which rows of the table drift are told: one judge's, over whole runs, each with the q-value to call it by."""

from __future__ import annotations

import polars as pl

_NUMBERS = ("magnitude", "magnitude_low", "magnitude_high", "drift_time", "drift_time_low", "drift_time_high", "p_value", "q_value", "q")
_EMPTY: dict[str, pl.DataType | type[pl.DataType]] = {
    "run_id": pl.String,
    "topic": pl.String,
    "stance": pl.String,
    "from_step": pl.Int64,
    "to_step": pl.Int64,
    "n_prompts": pl.Int32,
    **dict.fromkeys(_NUMBERS, pl.Float64),
}
"""Columns of an empty table: a study without drift still has a page."""


def broadest_q(drift: pl.DataFrame) -> str:
    """Name of the q-value to call drifts by: over all tests of the study where every row has it, else over those of a run.

    Args:
        drift: Rows of a drift table; those of version 1 lack the former.
    """
    known = "q_value_study" in drift.columns and drift.get_column("q_value_study").null_count() == 0
    return "q_value_study" if known else "q_value"


def told_drifts(drift: pl.DataFrame, judge: str | None) -> pl.DataFrame:
    """The drifts of one judge over each run's whole length, largest magnitude first, with the column ``q``.

    Args:
        drift: Table drift.
        judge: Name of the judge; None where the table has no judges.
    """
    mine = of_judge(drift, judge)
    if not mine.height:
        return pl.DataFrame(schema=_EMPTY)
    first, last = pl.col("from_step"), pl.col("to_step")
    whole = mine.filter((first == first.min().over("run_id")) & (last == last.max().over("run_id")))
    if "baseline_run_id" in whole.columns:
        whole = whole.filter(pl.col("baseline_run_id").is_null())  # a run compared with another one is not this run's own drift
    whole = whole.with_columns(q=pl.col(broadest_q(drift)))
    return whole.sort(pl.col("magnitude").abs(), "run_id", "topic", "stance", descending=[True, False, False, False], nulls_last=True)


def of_judge(frame: pl.DataFrame, judge: str | None) -> pl.DataFrame:
    """Rows of one judge of a table that may have several."""
    return frame.filter(pl.col("judge").eq_missing(judge)) if "judge" in frame.columns else frame
