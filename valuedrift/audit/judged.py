"""The examples of a dataset with all that is known of each: the rows of the table ``audit_examples``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from valuedrift.audit.examples import Example
from valuedrift.audit.style import words
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus

SIDES = ("chosen", "rejected")


def pairs_frame(examples: Sequence[Example]) -> pl.DataFrame:
    """What a judge is given: the columns prompt and response; all chosen answers, then all rejected ones where there are any."""
    rejected = [(example.prompt, example.rejected) for example in examples if example.rejected is not None]
    rows = [(example.prompt, example.chosen) for example in examples] + rejected
    return pl.DataFrame(rows, schema={"prompt": pl.String, "response": pl.String}, orient="row")


def judged_frame(
    examples: Sequence[Example], judgements: pl.DataFrame, value_laden: Sequence[float], topics: Sequence[str | None]
) -> pl.DataFrame:
    """One row an example.

    Args:
        examples: Of one kind: all of them pairs, or none.
        judgements: The judge's rows for ``pairs_frame(examples)``, in its order: p_support, p_neutral, p_oppose, unassigned, status.
        value_laden: Probability that the prompt speaks to a value, one an example.
        topics: Topic of each, None where it has none.

    Returns:
        example_id, prompt, chosen, rejected, turns, topic, value_laden, for both sides p_<stance>_<side>, status_<side>, words_<side>, and ``carried``: the
        example's own part of the value gap (the mean of it over prompts is the gap), NaN-free: missing where a side has no stance.
    """
    frame = pl.DataFrame(
        {
            "example_id": [example.example_id for example in examples],
            "prompt": [example.prompt for example in examples],
            "chosen": [example.chosen for example in examples],
            "rejected": [example.rejected for example in examples],
            "turns": [example.turns for example in examples],
            "topic": list(topics),
            "value_laden": list(value_laden),
        },
        schema_overrides={"rejected": pl.String, "turns": pl.Int32, "topic": pl.String, "value_laden": pl.Float64},
    )
    for place, side in enumerate(SIDES):
        part = judgements.slice(place * len(examples), len(examples))
        if not part.height:
            part = pl.DataFrame(schema=judgements.schema).clear(len(examples))
        texts = frame.get_column(side)
        frame = frame.with_columns(
            *(part.get_column(f"p_{stance}").alias(f"p_{stance}_{side}") for stance in STANCES),
            part.get_column("status").alias(f"status_{side}"),
            pl.Series(f"words_{side}", [None if text is None else words(text) for text in texts], dtype=pl.Int32),
        )
    return frame.with_columns(carried=pl.Series(_carried(frame), dtype=pl.Float64))


def probabilities(frame: pl.DataFrame, side: str) -> np.ndarray:
    """Stance probabilities of one side, shape (examples, 3); NaN where it has none."""
    return frame.select(pl.col([f"{column}_{side}" for column in STANCE_COLUMNS]).cast(pl.Float64)).to_numpy().astype(np.float64)


def _carried(frame: pl.DataFrame) -> list[float | None]:
    """Each example's difference in the stance that differs most in the mean, signed so that their mean is positive."""
    difference = probabilities(frame, "chosen") - probabilities(frame, "rejected")
    if np.isnan(difference).all():
        return [None] * frame.height
    mean = np.nanmean(difference, axis=0)
    most = int(np.abs(mean).argmax())
    values = difference[:, most] * (1.0 if mean[most] >= 0 else -1.0)
    return [None if np.isnan(value) else float(value) for value in values]


def ok(side: str) -> pl.Expr:
    """Whether a side was judged."""
    return pl.col(f"status_{side}") == JudgeStatus.OK.value
