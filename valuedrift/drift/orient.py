"""Stance towards the question as it was asked, or towards the topic's proposition."""

from __future__ import annotations

import polars as pl

from valuedrift.drift.options import Towards
from valuedrift.errors import DataError


def oriented(means: pl.DataFrame, towards: Towards, *, where: str | None = None) -> pl.DataFrame:
    """Prompt means with support and oppose as they are to be read.

    Args:
        means: As `valuedrift.drift.prompt_means.prompt_means` returns them.
        towards: What the stance is taken on.
        where: The file or address, for the message.

    Raises:
        DataError: The proposition is asked for and a prompt has no polarity.
    """
    if towards is Towards.QUESTION:
        return means
    fix = "polarity is +1 where yes supports the proposition, -1 where yes opposes it"
    if "polarity" not in means.columns:
        raise DataError("missing column 'polarity', needed for the stance towards the proposition", where=where, fix=fix)
    without = means.filter(pl.col("polarity").is_null())
    if len(without):
        shown = ", ".join(repr(prompt) for prompt in without["prompt_id"].unique().sort().head(5))
        raise DataError(f"column polarity: empty for prompts {shown}", where=where, fix=fix)
    against = pl.col("polarity") == -1
    return means.with_columns(
        support=pl.when(against).then("oppose").otherwise("support"), oppose=pl.when(against).then("support").otherwise("oppose")
    )


def wordings_note(means: pl.DataFrame, towards: Towards) -> str | None:
    """What to know of stances on questions that are worded both ways; None where there is nothing to say."""
    if towards is Towards.PROPOSITION or "polarity" not in means.columns or means["polarity"].n_unique() < 2:
        return None
    return (
        "prompts are worded for and against their proposition: support here is agreement with the question as worded, in which views cancel and "
        "yes-saying adds up; the acquiescence table tells the two apart, and towards=proposition counts support of the proposition"
    )
