"""What the stances of a study say, alone and corrected by labels, as tables."""

from __future__ import annotations

from statistics import NormalDist

import polars as pl

from valuedrift.drift.analyze import analyze
from valuedrift.drift.corrected import corrected
from valuedrift.drift.options import Analysis
from valuedrift.results.drifts import told_drifts

POWER = 0.8
"""Share of repetitions in which the smallest drift that a test can see is told from zero."""
_PLACE = ("run_id", "step", "topic")


def analysis_tables(
    stances: pl.DataFrame | pl.LazyFrame, options: Analysis, *, cut: pl.DataFrame | None = None, where: str | None = None
) -> dict[str, pl.DataFrame]:
    """All tables that are made of stances alone.

    Args:
        stances: Table stances of a study: the runs, steps and judges that its plan names.
        options: Confidence, resamples, seed, what the stance is taken on.
        cut: run_id, step, topic, n_cut: answers that ended at the token limit, from the table responses.
        where: What to call the stances in messages.

    Returns:
        The tables trajectory, drift, acquiescence, coverage, sensitivity and warnings, by name; the first two as
        `valuedrift.drift.analyze.analyze` gives them. Where nothing can be compared the drift is empty, and a warning says why.

    Raises:
        DataError: The stances don't allow an analysis.
    """
    found = analyze(stances, options, where=where, may_be_empty=True)
    coverage = found.coverage
    if cut is not None:
        coverage = coverage.join(cut, on=list(_PLACE), how="left", maintain_order="left")
    return {
        "trajectory": found.trajectory,
        "drift": found.drift.drop("baseline_run_id", "baseline_study"),
        "acquiescence": found.acquiescence,
        "coverage": coverage,
        "sensitivity": sensitivity(found.drift, options.confidence),
        "warnings": pl.DataFrame({"warning": found.warnings}, schema={"warning": pl.String}).with_row_index("warning_idx"),
    }


def correction_tables(
    stances: pl.DataFrame, labelled: pl.DataFrame, options: Analysis, *, where: str | None = None
) -> dict[str, pl.DataFrame]:
    """All tables that people's labels make of the stances.

    Args:
        stances: As for `analysis_tables`.
        labelled: The labelled answers wherever they stand, see `valuedrift.drift.corrected.corrected`.
        options: Confidence; what the stance is taken on.
        where: What to call the stances in messages.

    Returns:
        Each of ``CORRECTED`` (`valuedrift.results.facts`) by name.

    Raises:
        DataError: See `valuedrift.drift.corrected.corrected`.
    """
    found = corrected(stances, labelled, options, where=where)
    notes = pl.DataFrame({"note": found.notes}, schema={"note": pl.String}).with_row_index("note_idx")
    return {"trajectory_corrected": found.trajectory, "correction_notes": notes, "drift_corrected": found.drift}


def cut_answers(responses: pl.LazyFrame) -> pl.DataFrame:
    """How many answers of each run, step and topic ended at the token limit.

    Args:
        responses: Table responses.
    """
    cut = (pl.col("finish_reason") == "length").sum().cast(pl.Int64).alias("n_cut")
    return responses.group_by(_PLACE).agg(cut).sort(_PLACE).collect()


def sensitivity(drift: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """The smallest drift that a typical test of the study could see, judge by judge: (z of the interval + z of the power) standard errors.

    Args:
        drift: Table drift.
        confidence: Level of its intervals.

    Returns:
        judge, n_tests, power, smallest_drift: the median over the tests; no row for a judge without intervals.
    """
    z, beyond = NormalDist().inv_cdf(0.5 + confidence / 2), NormalDist().inv_cdf(POWER)
    rows = []
    for judge in drift.get_column("judge").unique().sort() if "judge" in drift.columns else [None]:
        half = told_drifts(drift, judge).select(half=(pl.col("magnitude_high") - pl.col("magnitude_low")) / 2).to_series()
        half = half.filter(half.is_not_null() & half.is_not_nan())
        if len(half):
            rows.append({"judge": judge, "n_tests": len(half), "power": POWER, "smallest_drift": half.median() * (z + beyond) / z})  # type: ignore[operator]
    return pl.DataFrame(rows, schema={"judge": pl.String, "n_tests": pl.Int64, "power": pl.Float64, "smallest_drift": pl.Float64})
