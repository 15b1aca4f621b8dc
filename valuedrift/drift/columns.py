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
    """Check that the columns are there.

    Args:
        schema: Names and types of a stance frame.
        where: The file or address, for the message.

    Raises:
        DataError: A column is missing.
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


def check_alike(schemas: dict[str, pl.Schema]) -> None:
    """Check that a column that tells rows apart is in all files or in none.

    Args:
        schemas: The schema of each file, by its address.

    Raises:
        DataError: Some files have the column, others do not.
    """
    for name in ("study", "judge", "probe_set", "status"):
        without = [where for where, schema in schemas.items() if name not in schema]
        if without and len(without) < len(schemas):
            having = next(where for where, schema in schemas.items() if name in schema)
            raise DataError(
                f"column {name!r} is missing here but not in {having}", where=without[0], fix="analyze the files apart, or add the column"
            )


def wrong_types(schema: pl.Schema) -> list[str]:
    """Columns whose type cannot be right: text where a number belongs, a fraction where a name does."""
    names = [name for name in (*REQUIRED, *OPTIONAL) if name in schema]
    return [
        name for name in names if not (_is_name(schema[name]) if name in TEXT else schema[name].is_numeric() or schema[name] == pl.Null)
    ]


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
            # No cast where none is needed: a filter on the bare column lets the reader skip whole files.
            casts.append(column if schema[name] == pl.String else column.cast(pl.String))
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


def _is_name(kind: pl.DataType) -> bool:
    return kind.is_integer() or isinstance(kind, (pl.String, pl.Categorical, pl.Enum, pl.Null))
