"""What the stances of a study say, alone and corrected by labels, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist

import polars as pl

from valuedrift.drift.analyze import Drift, analyze
from valuedrift.drift.cascade import cascaded
from valuedrift.drift.corrected import corrected
from valuedrift.drift.coverage import asked, coverage, with_missing
from valuedrift.drift.options import Analysis
from valuedrift.drift.prompt_means import prompt_means
from valuedrift.drift.seeds import over_seeds
from valuedrift.results.drifts import told_drifts
from valuedrift.words import listed

POWER = 0.8
"""Share of repetitions in which the smallest drift that a test can see is told from zero."""
_PLACE = ("run_id", "step", "topic")


def analysis_tables(
    stances: pl.DataFrame | pl.LazyFrame,
    options: Analysis,
    *,
    cut: pl.DataFrame | None = None,
    sample: pl.DataFrame | None = None,
    cascades: Mapping[str, tuple[str, str]] | None = None,
    groups: Mapping[str, str] | None = None,
    where: str | None = None,
) -> dict[str, pl.DataFrame]:
    """All tables that are made of stances alone.

    Args:
        stances: Table stances of a study: the runs, steps and judges that its plan names.
        options: Confidence, resamples, seed, what the stance is taken on.
        cut: run_id, step, topic, n_cut: answers that ended at the token limit, from the table responses.
        sample: Table cascade_sample, where there are cascades.
        cascades: Judges that read a sample by another one, with the cheap and the strong judge of each.
        groups: Of runs that are trained with several seeds, by run_id: what those share that differ in seed alone.
        where: What to call the stances in messages.

    Returns:
        The tables trajectory, drift, acquiescence, coverage, sensitivity and warnings, by name, with cascades cascade_cells, and with groups seed_trajectory
        and seed_drift; the first two as
        `valuedrift.drift.analyze.analyze` gives them. Where nothing can be compared the drift is empty, and a warning says why.

    Raises:
        DataError: The stances don't allow an analysis.
    """
    mixed = pl.col("judge").is_in(list(cascades)) if cascades else pl.lit(False)
    found = analyze(stances.filter(~mixed), options, where=where, may_be_empty=True)
    seeded: dict[str, pl.DataFrame] = {}
    if groups:
        over = over_seeds(stances.filter(~mixed), groups, options)
        seeded = {"seed_trajectory": over.trajectory, "seed_drift": over.drift}
        unread = (
            [f"over seeds nothing is told under {listed(sorted(cascades))}: a cascade's numbers are not means of its answers"]
            if cascades
            else []
        )
        found = replace(found, warnings=[*found.warnings, *over.notes, *unread])
    if cascades and sample is not None:
        tables = _with_cascades(found, stances.lazy().filter(mixed).collect(), sample, options, cut)
        names = pl.DataFrame([(name, *two) for name, two in cascades.items()], schema=["judge", "cheap", "strong"], orient="row")
        return {**seeded, **tables, "cascade_cells": tables["cascade_cells"].join(names, on="judge", how="left", maintain_order="left")}
    return {**seeded, **_tables(found.trajectory, found.drift, found, found.coverage, found.warnings, options, cut)}


def _with_cascades(
    found: Drift, stances: pl.DataFrame, sample: pl.DataFrame, options: Analysis, cut: pl.DataFrame | None
) -> dict[str, pl.DataFrame]:
    """The tables of the other judges, and those of cascades behind them."""
    both = cascaded(stances, sample, options)
    keys = ["study", "judge", "run_id"]
    trajectory = pl.concat([found.trajectory, both.trajectory]).sort(keys, maintain_order=True)
    drift = pl.concat([found.drift, both.drift]).sort(keys, maintain_order=True)
    means = prompt_means(stances.lazy())
    read = with_missing(coverage(means).sort([*keys, "step", "topic"]), asked(means))
    covered = pl.concat([found.coverage, read]).sort([*keys, "step", "topic"])
    warnings = [*found.warnings, *both.notes]
    return {"cascade_cells": both.cells, **_tables(trajectory, drift, found, covered, warnings, options, cut)}


def _tables(
    trajectory: pl.DataFrame,
    drift: pl.DataFrame,
    found: Drift,
    coverage: pl.DataFrame,
    warnings: list[str],
    options: Analysis,
    cut: pl.DataFrame | None,
) -> dict[str, pl.DataFrame]:
    if cut is not None:
        coverage = coverage.join(cut, on=list(_PLACE), how="left", maintain_order="left")
    return {
        "trajectory": trajectory,
        "drift": drift.drop("baseline_run_id", "baseline_study"),
        "acquiescence": found.acquiescence,
        "coverage": coverage,
        "sensitivity": sensitivity(drift, options.confidence),
        "warnings": pl.DataFrame({"warning": warnings}, schema={"warning": pl.String}).with_row_index("warning_idx"),
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
