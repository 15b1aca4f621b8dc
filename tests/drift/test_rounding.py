"""Equality is judged at the precision of the input: rounding is no variance, and no movement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from valuedrift.audit.measures import value_gap
from valuedrift.drift.analyze import analyze
from valuedrift.drift.corrected import corrected
from valuedrift.drift.options import Analysis
from valuedrift.stance import STANCE_COLUMNS
from valuedrift.statistics.intervals import TINY, mean_interval
from valuedrift.statistics.rounding import SINGLE, rounding_of

FAST = Analysis(resamples=100)
CASE = Path(__file__).parents[1] / "cases" / "two_prompts_float32.parquet"


def moved_alike(prompts: int, by: float, kind: type[pl.DataType] = pl.Float64) -> pl.DataFrame:
    """Prompts with stances of their own, all of which move by the same amount."""
    rows = []
    for prompt in range(prompts):
        support = 0.05 + 0.7 * (prompt / prompts) ** 1.7 / 3
        for step, p in ((0, support), (1, support + by)):
            rows.append((f"r-{step}", step, "t", f"p{prompt}", 0, p, 0.1 / 3, 1 - 0.1 / 3 - p))
    frame = pl.DataFrame(rows, schema=["run_id", "step", "topic", "prompt_id", "sample_idx", *STANCE_COLUMNS], orient="row")
    return frame.with_columns(pl.lit("r").alias("run_id"), pl.col(STANCE_COLUMNS).cast(kind))


def test_two_prompts_that_moved_alike_are_undecided_in_either_precision() -> None:
    narrow = pl.read_parquet(CASE)
    wide = narrow.with_columns(pl.col(STANCE_COLUMNS).cast(pl.Float64).round(4))
    drift = analyze(narrow, FAST).drift
    assert drift["p_value"].to_list() == [0.5, 1.0, 0.5]  # 2^(1 − 2) of the sign flips; nothing moved in neutral
    assert_frame_equal(drift, analyze(wide, FAST).drift, rel_tol=0, abs_tol=1e-6)


@pytest.mark.parametrize("prompts", [2, 3, 7])
@pytest.mark.parametrize(
    "written",
    [
        lambda frame: frame.with_columns(pl.col(STANCE_COLUMNS).cast(pl.Float32)),
        lambda frame: frame.with_columns(pl.col(STANCE_COLUMNS).cast(pl.Float32).cast(pl.Float64)),
        lambda frame: frame.with_columns(
            pl.col(name).map_elements(lambda p: float(str(np.float32(p))), return_dtype=pl.Float64) for name in STANCE_COLUMNS
        ),
        lambda frame: frame.with_columns(pl.col(STANCE_COLUMNS).round(7)),
        lambda frame: frame.with_columns(pl.col(STANCE_COLUMNS).round(6)),
    ],
    ids=["float32", "float32 in 64 bits", "text of float32", "seven decimals", "six decimals"],
)
def test_movement_by_one_amount_is_the_sign_flips_p_however_it_was_written(prompts: int, written) -> None:  # type: ignore[no-untyped-def]
    exact = analyze(moved_alike(prompts, 0.0731), FAST).drift
    found = analyze(written(moved_alike(prompts, 0.0731)), FAST).drift
    assert exact["p_value"].to_list() == [2.0 ** (1 - prompts), 1.0, 2.0 ** (1 - prompts)]
    assert_frame_equal(found, exact, rel_tol=0, abs_tol=5e-6)


def test_no_movement_but_rounding_is_none() -> None:
    """What moved by less than the input can say did not move."""
    frame = moved_alike(6, 1e-8, pl.Float32)
    assert analyze(frame, FAST).drift["p_value"].to_list() == [1.0, 1.0, 1.0]
    assert analyze(frame, FAST).drift["drift_time"].null_count() == 3


def test_real_variance_is_kept_in_float32() -> None:
    frame = moved_alike(8, 0.1).with_columns(
        p_support=pl.col("p_support") + 0.001 * pl.col("prompt_id").str.tail(1).cast(pl.Int8) * pl.col("step")
    )
    frame = frame.with_columns(p_oppose=1 - pl.col("p_support") - pl.col("p_neutral"))
    narrow = analyze(frame.with_columns(pl.col(STANCE_COLUMNS).cast(pl.Float32)), FAST).drift
    assert_frame_equal(narrow, analyze(frame, FAST).drift, rel_tol=1e-2, abs_tol=1e-6)
    assert narrow["p_value"][0] < 1e-6


@pytest.mark.parametrize(
    ("numbers", "right"),
    [
        ([0.0, 1.0, 0.5], TINY),
        ([0.1, 0.25, 0.333], TINY),
        ([1 / 3, 0.2, 0.7], TINY),
        ([0.123457, 0.5, 0.25], 2e-6),
        ([0.1234567, 0.5, 0.25], 2e-7),
        ([0.333333343, 0.5, 1.23456789e-7], SINGLE),
        ([float(np.float32(1 / 3)), None, float("nan")], SINGLE),
    ],
)
def test_precision_is_read_from_the_numbers(numbers: list[float | None], right: float) -> None:
    frame = pl.DataFrame({"p": numbers}, schema={"p": pl.Float64})
    assert rounding_of(frame.lazy(), ["p"]) == right
    assert rounding_of(frame.with_columns(pl.col("p").cast(pl.Float32)).lazy(), ["p"]) >= SINGLE


def test_one_row_in_full_after_many_coarse_ones_counts() -> None:
    frame = pl.DataFrame({"p": [0.123457] * 5000 + [1 / 3]})
    assert rounding_of(frame.lazy(), ["p"]) == TINY


def test_labels_that_change_nothing_leave_one_amount_undecided() -> None:
    """Corrected by labels that agree with the judge but for rounding, on prompts that moved by one amount."""
    frame = moved_alike(12, 0.0731, pl.Float32).with_columns(status=pl.lit("ok"))
    said = [pl.col(name).cast(pl.Float64).alias(name.replace("p_", "said_")) for name in STANCE_COLUMNS]
    labelled = pl.concat([frame.with_columns(sample_idx=pl.lit(index, pl.Int64)) for index in range(2)])
    labelled = labelled.with_columns(*said, weight=pl.lit(1.0))
    answers = pl.concat([frame.with_columns(sample_idx=pl.lit(index, pl.Int64)) for index in range(2)])
    drift = corrected(answers, labelled, FAST).drift
    assert drift["magnitude"].to_list() == pytest.approx([0.0731, 0.0, -0.0731], abs=1e-6)
    assert (drift["p_value"] >= 2.0**-11).all()


def test_a_gap_of_rounding_is_no_gap() -> None:
    same = np.array([[1e-9, -1e-9, 0.0], [3e-9, -3e-9, 0.0], [2e-9, -2e-9, 0.0]])
    assert value_gap(same, np.arange(3), 0.95, rounding=SINGLE).low == 0.0
    point = mean_interval(np.array([[0.5], [0.5 + 3e-8]]), 0.95, bounds=(0.0, 1.0), rounding=SINGLE)
    assert point.error[0] == 0.0
    assert point.low[0] == point.high[0]
