"""Plausible rows of any table, made from its schema alone: for tables that the small study has no story for."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

from valuedrift.storage.part import Part
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.schemas.table import PROBABILITIES, Column, TableSchema

_ROWS = 3
_P = dict(zip(PROBABILITIES, (0.5, 0.3, 0.2), strict=True))


def made_part(table: str, study: str) -> Part:
    """One part of a table with a few rows."""
    schema = TABLES[table]
    count = 1 if set(schema.keys) <= set(schema.partition) else _ROWS
    rows = [{column.name: _value(schema, column, row) for column in schema.columns} for row in range(count)]
    frame = pl.DataFrame(rows, schema=schema.polars)
    place = {name: study if name == "study" else frame.get_column(name)[0] for name in schema.partition}
    return Part(
        table,
        frame.with_columns(pl.lit(value, dtype=schema.polars[name]).alias(name) for name, value in place.items()),
        place,
        f"made-{table}",
        {"made": table},
    )


def _value(schema: TableSchema, column: Column, row: int) -> object:
    if column.name in schema.partition:
        return f"{column.name} of all" if pa.types.is_string(column.type) else 0
    if schema.has_probabilities and column.name in _P:
        return _P[column.name]
    if column.nullable and row == 1:
        return None
    if column.values:
        return column.values[row % len(column.values) if column.name in schema.keys else 0]
    if pa.types.is_string(column.type):
        return f"{column.name} {row}"
    if pa.types.is_boolean(column.type):
        return row == 0
    if pa.types.is_timestamp(column.type):
        return datetime(2026, 11, 1, row, tzinfo=UTC)
    if pa.types.is_integer(column.type):
        return int(column.low or 0) + row
    return 0.25 * row if column.high is None else min(0.25 * row, column.high)
