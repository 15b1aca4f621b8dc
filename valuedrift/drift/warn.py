"""What a reader must know before trusting the numbers."""

from __future__ import annotations

import polars as pl

from valuedrift.drift.coverage import COUNTS

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
            found.append(f"{count:,} of {total:,} judgements ({count / total:.1%}) are {name.removeprefix('n_')} and enter no mean")
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
