"""What entered the numbers and what did not, and what a reader must know before trusting them: counted, shown, never silently dropped."""

from __future__ import annotations

import polars as pl

from valuedrift.drift.stance_frame import prompt_keys, run_keys
from valuedrift.stance import JudgeStatus

COUNTS = tuple(f"n_{status.value}" for status in JudgeStatus)


def coverage(means: pl.DataFrame) -> pl.DataFrame:
    """Judgements by status, prompts and samples of every checkpoint and topic.

    Args:
        means: As `valuedrift.drift.prompt_means.prompt_means` returns them.

    Returns:
        study, judge (if given), run_id, step, topic, n_ok, n_refused, n_unparsed, n_failed (judgements), n_prompts (with a judged sample),
        samples_min, samples_max (judged samples of those prompts), unequal_samples.
    """
    by = [*run_keys(means.schema), "step", "topic"]
    samples = pl.col("n_ok").filter(pl.col("n_ok") > 0)
    return (
        means.group_by(by)
        .agg(
            *(pl.col(name).cast(pl.Int64).sum() for name in COUNTS),
            samples.len().cast(pl.Int32).alias("n_prompts"),
            samples.min().cast(pl.Int32).alias("samples_min"),
            samples.max().cast(pl.Int32).alias("samples_max"),
        )
        .with_columns((pl.col("samples_min") != pl.col("samples_max")).fill_null(False).alias("unequal_samples"))
        .sort(by)
    )


def asked(means: pl.DataFrame) -> pl.DataFrame:
    """The prompts of every study and topic, judged or not."""
    return means.select([*_scope(means.columns), *prompt_keys(means.schema)]).unique()


def with_missing(covered: pl.DataFrame, prompts: pl.DataFrame) -> pl.DataFrame:
    """Add ``missing_prompts``: prompts asked anywhere in the study and topic that have no judged sample here.

    Args:
        covered: As `coverage` returns it.
        prompts: All prompts, as `asked` returns them.
    """
    scope = _scope(covered.columns)
    expected = prompts.unique().group_by(scope).agg(pl.len().cast(pl.Int32).alias("expected"))
    joined = covered.join(expected, on=scope, how="left", maintain_order="left")
    return joined.with_columns((pl.col("expected") - pl.col("n_prompts")).alias("missing_prompts")).drop("expected")


def _scope(columns: list[str]) -> list[str]:
    return [name for name in ("study", "topic") if name in columns]


FEW_PROMPTS = 10
RARE_PROMPTS = 1.0
"""A stance that fewer prompts than this take, n · mean, may be missed by the sample as a whole; simulation: 95% intervals then cover from 75%, see
docs/statistics.md. The same holds of a stance that all but so few take."""


def warnings_of(covered: pl.DataFrame, drift: pl.DataFrame, trajectory: pl.DataFrame) -> list[str]:
    """Warnings about what was judged and how much of it there is.

    Args:
        covered: The coverage table, with ``missing_prompts``.
        drift: The drift table.
        trajectory: The trajectory table.

    Returns:
        One sentence each; empty if all is well.
    """
    found = []
    total = sum(int(covered[name].sum()) for name in COUNTS)
    for name in COUNTS[1:]:
        count = int(covered[name].sum())
        if count:
            share = f"{count / total:.1%}" if count / total >= 0.0005 else "<0.1%"
            found.append(f"{count:,} of {total:,} judgements ({share}) are {name.removeprefix('n_')} and enter no mean")
    missing = covered.filter(pl.col("missing_prompts") > 0)
    if len(missing):
        worst = missing.sort("missing_prompts", descending=True).row(0, named=True)
        found.append(
            f"prompts are missing at {len(missing)} of {len(covered)} (run, step, topic): at most {worst['missing_prompts']} "
            f"(run {worst['run_id']!r}, step {worst['step']}, topic {worst['topic']!r}); differences use the prompts present at both ends"
        )
    unequal = int(covered["unequal_samples"].sum())
    if unequal:
        found.append(
            f"prompts have unequal numbers of judged samples at {unequal} of {len(covered)} (run, step, topic); each prompt counts the same"
        )
    few = drift.filter(pl.col("n_prompts") < FEW_PROMPTS)
    if len(few):
        found.append(f"{len(few)} of {len(drift)} rows rest on fewer than {FEW_PROMPTS} prompts: take their intervals as rough")
    rare = trajectory.filter(pl.col("n_prompts") * pl.min_horizontal("mean", 1 - pl.col("mean")) < RARE_PROMPTS)
    if len(rare):
        found.append(
            f"{len(rare)} of {len(trajectory)} means are of a stance that less than one of the prompts takes, or all but less than one (n × mean < 1): "
            "so few prompts may have missed it, and intervals of such means and of drifts from or to them can be too short; more prompts settle it"
        )
    poorly = int(drift["drift_time_warning"].sum())
    if poorly:
        found.append(f"{poorly} drift times are poorly determined (see drift_time_note): a noisy maximum dates drift too late")
    return found
