"""What entered the numbers and what did not: counted, shown, never silently dropped."""

from __future__ import annotations

import polars as pl

from valuedrift.drift.columns import prompt_keys, run_keys
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
