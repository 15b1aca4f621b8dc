"""The columns a stance frame may have, and one canonical form of them."""

from __future__ import annotations

import polars as pl

from valuedrift.errors import DataError
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus

REQUIRED: tuple[str, ...] = ("run_id", "step", "topic", "prompt_id", "sample_idx", *STANCE_COLUMNS)
RUN: tuple[str, ...] = ("study", "judge", "run_id")
"""What tells one run's judgements from another's, in sort order; ``study`` and ``judge`` only where given."""
OPTIONAL: tuple[str, ...] = ("study", "judge", "probe_set", "status", "polarity", "pair_id")
TEXT: frozenset[str] = frozenset({"study", "judge", "run_id", "topic", "probe_set", "prompt_id", "pair_id", "status"})
WHOLE: frozenset[str] = frozenset({"step", "sample_idx", "polarity"})
STANCE_TYPE = pl.Enum([stance.value for stance in STANCES])
"""Sorts rows support, neutral, oppose; written out as text."""


def check_columns(schema: pl.Schema, *, where: str | None = None) -> None:
    """Check that the columns are there and hold numbers where numbers belong.

    Args:
        schema: Names and types of a stance frame.
        where: The file or address, for the message.

    Raises:
        DataError: A column is missing or has a type that cannot be right.
    """
    missing = [name for name in REQUIRED if name not in schema]
    if missing:
        strangers = [name for name in schema if name.startswith("p_") and name not in STANCE_COLUMNS]
        hint = f"; {_listed(strangers)} is no stance known here (stances: {', '.join(STANCES)})" if strangers else ""
        raise DataError(
            f"missing column{'s' if len(missing) > 1 else ''} {_listed(missing)}{hint}",
            where=where,
            fix=f"a stance table has {', '.join(REQUIRED)}; this one has {', '.join(schema) or 'no columns'}",
        )
    for name in (*REQUIRED, *(column for column in OPTIONAL if column in schema)):
        kind = schema[name]
        if name not in TEXT and not kind.is_numeric() and not (kind == pl.Null and name == "polarity"):
            expected = "whole numbers" if name in WHOLE else "numbers between 0 and 1"
            raise DataError(f"column {name!r} holds {_said(kind)} where a number belongs", where=where, fix=f"expected {expected}")
        if name in TEXT and not (kind.is_integer() or isinstance(kind, (pl.String, pl.Categorical, pl.Enum, pl.Null))):
            raise DataError(f"column {name!r} holds {_said(kind)} where a name belongs", where=where, fix="expected text or whole numbers")


def canonical(stances: pl.LazyFrame, schema: pl.Schema) -> pl.LazyFrame:
    """The columns that the analysis reads, in one set of types.

    Args:
        stances: A stance frame whose columns were checked.
        schema: Its schema.

    Returns:
        run_id, topic, prompt_id (and study, judge, pair_id if given) as text; step, sample_idx i64; p_* f64; status text (``ok`` where the
        column is absent); polarity i8 if given.
    """
    columns = [name for name in (*REQUIRED, *OPTIONAL) if name in schema]
    casts: list[pl.Expr] = []
    for name in columns:
        column = pl.col(name)
        if name in TEXT:
            casts.append(column.cast(pl.String))
        elif name in WHOLE:
            casts.append(column.cast(pl.Int8 if name == "polarity" else pl.Int64, strict=False))
        else:
            casts.append(column.cast(pl.Float64))
    frame = stances.select(casts)
    return frame if "status" in columns else frame.with_columns(status=pl.lit(JudgeStatus.OK.value))


def run_keys(schema: pl.Schema) -> list[str]:
    """The columns of ``RUN`` that this frame has."""
    return [name for name in RUN if name in schema]


def prompt_keys(schema: pl.Schema) -> list[str]:
    """The columns that tell a prompt within its topic: ``prompt_id``, which is unique within its probe set."""
    return ["probe_set", "prompt_id"] if "probe_set" in schema else ["prompt_id"]


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _said(kind: pl.DataType) -> str:
    return "text" if isinstance(kind, (pl.String, pl.Categorical, pl.Enum)) else str(kind)
