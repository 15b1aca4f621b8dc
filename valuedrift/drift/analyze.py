"""Stances in, drift out: the one implementation that the command line, the flows and the report use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no types

from valuedrift.drift.acquiescence import acquiescence
from valuedrift.drift.comparisons import Phases, RunName, compare_runs, named_runs
from valuedrift.drift.coverage import asked, coverage, warnings_of, with_missing
from valuedrift.drift.options import Analysis
from valuedrift.drift.prompt_means import Cell, cells, doubled_texts, oriented, prompt_means, wordings_note
from valuedrift.drift.stance_frame import check_stances, run_keys
from valuedrift.drift.tables import DriftRows, TrajectoryRows
from valuedrift.errors import DataError
from valuedrift.stance import STANCE_COLUMNS
from valuedrift.statistics.rounding import rounding_of

_BATCH_ROWS = 4_000_000
"""Judged answers whose prompt means are held at once; a single larger run is held whole."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What an analysis found. ``study`` and ``judge`` are columns where the stances had them.

    Attributes:
        trajectory: run_id, step, topic, stance, mean, low, high, n_prompts.
        drift: run_id, topic, stance, from_step, to_step, magnitude, magnitude_low, magnitude_high, drift_time, drift_time_low,
            drift_time_high,
            n_prompts, p_value, q_value, total_variation, jensen_shannon; then q_value_study (Benjamini–Hochberg over all runs of the
            study),
            drift_time_warning bool, drift_time_note (why there is no drift time, or why not to trust it), baseline_run_id and
            baseline_study (the other run of a comparison, else null).
        acquiescence: run_id, step, topic, acquiescence, low, high, n_pairs.
        coverage: run_id, step, topic, n_ok, n_refused, n_unparsed, n_failed, n_prompts, samples_min, samples_max, unequal_samples,
            missing_prompts.
        warnings: What a reader must know before trusting the numbers.
        left_out: Those of them that say what the drift leaves out.
    """

    trajectory: pl.DataFrame
    drift: pl.DataFrame
    acquiescence: pl.DataFrame
    coverage: pl.DataFrame
    warnings: list[str]
    left_out: list[str]


def analyze(
    stances: pl.DataFrame | pl.LazyFrame,
    options: Analysis,
    *,
    from_step: int | None = None,
    to_step: int | None = None,
    between: tuple[str, str] | None = None,
    where: str | None = None,
    may_be_empty: bool = False,
) -> Drift:
    """Trajectory and drift of every run, topic and stance.

    Args:
        stances: Judged answers: run_id, step, topic, prompt_id, sample_idx, p_support, p_neutral, p_oppose; study, judge, probe_set,
            status, polarity and pair_id if there are any; of prompt, the question's text, only whether one stands under several ids; other columns are
            ignored. Rows in any order.
        options: Confidence, resamples, seed.
        from_step: Where the phase starts; each run's first checkpoint by default. With ``between``: the checkpoint of the first run (its
            last).
        to_step: Where it ends; each run's last checkpoint by default. With ``between``: the checkpoint of the second run (its last).
        between: Two runs, each by its run_id or as ``STUDY/RUN``: the drift is then the second minus the first, paired on prompts, and has no
            drift time.
        where: The file or address the stances came from, for messages.
        may_be_empty: Whether stances of which nothing can be compared (one prompt, one checkpoint, nothing judged at both ends) have an empty drift, and
            notes that say so.

    Returns:
        The tables, sorted by study, judge, run_id, topic.

    Raises:
        DataError: See `valuedrift.drift.stance_frame.check_stances`; or no run has the checkpoints asked for, or no topic has two prompts.
    """
    frame = stances.lazy()
    if from_step is not None and to_step is not None and between is None and from_step >= to_step:
        fault = "is no phase" if from_step == to_step else "goes backwards"
        raise DataError(f"column step: from step {from_step} to step {to_step} {fault}", where=where, fix="from must be smaller than to")
    runs = check_stances(frame, where=where)
    pair = named_runs(between, runs, where) if between is not None else None
    if pair is not None:
        runs = _only(runs, pair)
    keys = run_keys(frame.collect_schema())
    rounding = rounding_of(frame, STANCE_COLUMNS)
    trajectory = TrajectoryRows(options.confidence)
    rows = DriftRows(options.confidence, dict.fromkeys([*keys, "topic"], pl.String), rounding)
    phases = Phases(options, from_step, to_step, rows)
    held: list[Cell] = []
    covered, prompts, yes = [], [], []
    wordings: set[str | None] = set()
    for batch in _batches(runs):
        means = prompt_means(frame, runs=batch, where=where)
        covered.append(coverage(means))
        prompts.append(asked(means))
        wordings.add(wordings_note(means, options.towards))
        yes.append(acquiescence(means, options.confidence, rounding=rounding))
        # Matrices this small lose more to BLAS threads waiting for each other than they win; one thread also gives the same bits everywhere.
        with threadpool_limits(limits=1, user_api="blas"):
            for cell in cells(oriented(means, options.towards, where=where), rounding):
                trajectory.add(cell)
                if pair is None:
                    phases.add(cell)
                else:
                    held.append(cell)
    notes = phases.finish(where, may_be_empty=may_be_empty) if pair is None else compare_runs(held, pair, (from_step, to_step), rows, where)
    table = with_missing(pl.concat(covered).sort([*keys, "step", "topic"]), pl.concat(prompts))
    drift, lines = rows.frame(), trajectory.frame()
    twice = doubled_texts(frame)
    warnings = [*notes, *sorted(note for note in wordings if note), *([twice] if twice else []), *warnings_of(table, drift, lines)]
    return Drift(lines, drift, pl.concat(yes), table, warnings, notes)


def trajectory(stances: pl.DataFrame | pl.LazyFrame, options: Analysis, *, where: str | None = None) -> pl.DataFrame:
    """Only the trajectory; one checkpoint is enough for it.

    Args:
        stances: As for `analyze`.
        options: Confidence of the intervals.
        where: The file or address, for messages.

    Returns:
        The table ``Drift.trajectory``. With one prompt the interval is [0, 1].

    Raises:
        DataError: See `valuedrift.drift.stance_frame.check_stances`.
    """
    frame = stances.lazy()
    rows = TrajectoryRows(options.confidence)
    runs, rounding = check_stances(frame, where=where), rounding_of(frame, STANCE_COLUMNS)
    for batch in _batches(runs):
        for cell in cells(oriented(prompt_means(frame, runs=batch, where=where), options.towards, where=where), rounding):
            rows.add(cell)
    return rows.frame()


def _batches(runs: pl.DataFrame) -> Iterator[pl.DataFrame | None]:
    """Runs in groups whose rows fit in memory together."""
    group = (runs["rows"].cum_sum() - 1) // _BATCH_ROWS
    yield from runs.with_columns(group.alias("__group__")).partition_by("__group__", maintain_order=True)


def _only(runs: pl.DataFrame, between: tuple[RunName, RunName]) -> pl.DataFrame:
    keys = [name for name in ("study", "run_id") if name in runs.columns]
    meant = [any(run.means(row) for run in between) for row in runs.select(keys).iter_rows(named=True)]
    return runs.filter(pl.Series(meant, dtype=pl.Boolean))
