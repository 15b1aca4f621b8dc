"""Which examples carry a value gap: it may lie in a few of them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from valuedrift.words import counted, percent

TENTH = 0.1
"""Share of the examples that is compared with the whole."""


@dataclass(frozen=True, slots=True)
class Carriers:
    """The examples of a preference set by what they add to its value gap."""

    most: pl.DataFrame
    """Rows of the table audit_examples, those that add most first."""
    share: float
    """What the first tenth adds, as a share of all that adds (those that take away left aside), in [0, 1]."""
    sentence: str


def carriers(examples: pl.DataFrame) -> Carriers | None:
    """Who carries the gap; None without pairs that were judged on both sides, or where none adds to it.

    Args:
        examples: Table audit_examples of one dataset and judge.
    """
    judged = examples.drop_nulls("carried").sort("carried", "example_id", descending=[True, False])
    adding = judged.filter(pl.col("carried") > 0)
    if not adding.height:
        return None
    total = float(adding.get_column("carried").sum())
    first = judged.head(max(1, round(TENTH * judged.height)))
    share = float(first.get_column("carried").clip(lower_bound=0.0).sum()) / total
    against = judged.filter(pl.col("carried") < 0).height
    sentence = (
        f"{counted(adding.height, 'pair')} add to the gap and {against:,} take from it; "
        f"{percent(share)} of what adds lies in the first tenth ({counted(first.height, 'pair')}). Those that carry most:"
    )
    return Carriers(judged, share, sentence)
