"""The prompt is the unit: the samples of one prompt at one checkpoint become one row before anything else is done."""

from __future__ import annotations

import polars as pl

from valuedrift.drift.check import check_duplicates
from valuedrift.drift.columns import canonical, prompt_keys, run_keys
from valuedrift.errors import DataError
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus

_SCALE = 46
"""Probabilities are summed as whole multiples of 2⁻⁴⁶ (1.4e-14): such sums are the same to the last bit in any order of rows."""
MOST_SAMPLES = 2 ** (62 - _SCALE)
"""Samples of one prompt at one checkpoint for which those sums cannot overflow."""


def prompt_means(stances: pl.LazyFrame, *, runs: pl.DataFrame | None = None, where: str | None = None) -> pl.DataFrame:
    """Average the samples of every prompt at every checkpoint.

    Args:
        stances: A checked stance frame.
        runs: Only these runs (columns of ``RUN`` that the frame has); all of them by default.
        where: The file or address, for messages.

    Returns:
        One row a (study, judge, run_id, topic, step, probe_set, prompt_id), of which those that the frame has, sorted: ``support``,
        ``neutral``, ``oppose`` f64 in [0, 1] (null without a judged
        sample), ``n_ok``, ``n_refused``, ``n_unparsed``, ``n_failed`` u32, and ``polarity``, ``pair_id`` if given.

    Raises:
        DataError: Two rows for the same sample, a prompt with two polarities, or more than ``MOST_SAMPLES`` samples of one prompt.
    """
    schema = stances.collect_schema()
    frame = canonical(stances, schema)
    keys = run_keys(schema)
    if runs is not None:
        frame = frame.filter(_any_of(runs.select(keys)))
    by = [*keys, "topic", "step", *prompt_keys(schema)]
    judged = pl.col("status") == JudgeStatus.OK.value
    sums = [
        (pl.col(name).clip(0, 1) * 2.0**_SCALE).round().cast(pl.Int64).filter(judged).sum().alias(stance)
        for name, stance in zip(STANCE_COLUMNS, STANCES, strict=True)
    ]
    counts = [(pl.col("status") == status.value).sum().cast(pl.UInt32).alias(f"n_{status.value}") for status in JudgeStatus]
    extra = [pl.col(name).drop_nulls().max() for name in ("polarity", "pair_id") if name in schema]
    same = [
        (pl.col(name).drop_nulls().min() != pl.col(name).drop_nulls().max()).alias(f"{name}_differs")
        for name in ("polarity", "pair_id")
        if name in schema
    ]
    sample = pl.col("sample_idx")
    # One bit a sample index tells duplicates apart without a sort; indices beyond 62 are counted the slow way below.
    bits = (
        (pl.lit(1, pl.Int64) * pl.lit(2, pl.Int64).pow(sample.clip(0, 62)))
        .cast(pl.Int64)
        .bitwise_or()
        .bitwise_count_ones()
        .alias("n_distinct")
    )
    means = (
        frame.group_by(by)
        .agg(*sums, *counts, *extra, *same, bits, sample.max().alias("last_sample"), pl.len().alias("n_rows"))
        .collect(engine="streaming")
    )
    _check_groups(stances, means, by, where)
    n_ok = pl.col("n_ok")
    shares = [pl.when(n_ok > 0).then(pl.col(stance) / n_ok / 2.0**_SCALE).alias(stance) for stance in STANCES]
    kept = [*by, *STANCES, *(f"n_{status.value}" for status in JudgeStatus), *(name for name in ("polarity", "pair_id") if name in schema)]
    return means.with_columns(shares).select(kept).sort(by)


def _check_groups(stances: pl.LazyFrame, means: pl.DataFrame, by: list[str], where: str | None) -> None:
    beyond = means.filter(pl.col("last_sample") > 62)
    suspects = means.filter((pl.col("last_sample") <= 62) & (pl.col("n_distinct") < pl.col("n_rows")))
    if suspects.is_empty() and len(beyond):
        suspects = _repeated(stances, beyond, by)
    if len(suspects):
        raise check_duplicates(stances, suspects.sort(by).select(by).row(0, named=True), where=where)
    crowded = means.filter(pl.col("n_ok") >= MOST_SAMPLES)
    if len(crowded):
        raise DataError(
            f"more than {MOST_SAMPLES:,} samples of one prompt at one checkpoint: {crowded.select(by).row(0, named=True)}", where=where
        )
    for name in ("polarity", "pair_id"):
        if f"{name}_differs" in means.columns:
            odd = means.filter(pl.col(f"{name}_differs"))
            if len(odd):
                raise DataError(f"column {name!r}: one prompt has two values: {odd.sort(by).select(by).row(0, named=True)}", where=where)


def _repeated(stances: pl.LazyFrame, beyond: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Prompts with a repeated sample index, counted exactly."""
    frame = canonical(stances, stances.collect_schema()).join(beyond.lazy().select(by), on=by, how="semi")
    return (
        frame.group_by(by)
        .agg(pl.col("sample_idx").n_unique().alias("distinct"), pl.len().alias("rows"))
        .filter(pl.col("distinct") < pl.col("rows"))
        .collect()
    )


def _any_of(runs: pl.DataFrame) -> pl.Expr:
    """True for the rows of these runs."""
    if len(runs.columns) == 1:
        name = runs.columns[0]
        return pl.col(name).is_in(runs[name].to_list())
    return pl.any_horizontal(pl.all_horizontal(pl.col(name) == value for name, value in row.items()) for row in runs.iter_rows(named=True))
