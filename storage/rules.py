"""What must hold for every row that is written: columns, types, nulls, ranges, probabilities, duplicates.

The same rules serve every write, `valuedrift tables check` and `valuedrift tables import`, so that nothing enters by another door.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from valuedrift.errors import DataError
from valuedrift.stance import JudgeStatus
from valuedrift.storage.schemas.table import PROBABILITIES, Column, TableSchema

SUM_TOLERANCE = 1e-6
_SHOWN = 3
"""Rows at fault that a message shows."""


@dataclass(frozen=True)
class Fault:
    """Something wrong in a frame.

    Attributes:
        column: The column at fault.
        what: What is wrong with it.
        rows: Number of rows at fault.
        examples: The first of them, in words.
    """

    column: str
    what: str
    rows: int = 0
    examples: str = ""

    def __str__(self) -> str:
        rows = f" in {self.rows} row{'s' if self.rows != 1 else ''}, first {self.examples}" if self.rows else ""
        return f"column {self.column}: {self.what}{rows}"


def conformed(schema: TableSchema, frame: pl.DataFrame, partition: Mapping[str, str | int], where: str) -> pl.DataFrame:
    """The frame as the table holds it: its columns in order and type, sorted by key, all rules checked.

    Partition columns that the frame lacks are filled from ``partition``, nullable columns that it lacks are empty; anything else missing
    is an error.

    Args:
        schema: The table.
        frame: The rows.
        partition: The partition that the rows are written to.
        where: What to call the frame in a message.

    Raises:
        DataError: A column is missing, unknown, of another type, or a rule is broken; names the column and the first rows.
    """
    frame = _typed(schema, _with_all_columns(schema, frame, partition, where), where)
    for name, value in partition.items():
        if (other := frame.filter(pl.col(name).ne_missing(pl.lit(value)))).height:
            raise DataError(f"column {name} says {other[name][0]!r} in the partition {name}={value}", where=where)
    faults = list(broken_rules(schema, frame))
    if faults:
        raise DataError("; ".join(str(fault) for fault in faults), where=where)
    return frame.sort(schema.keys)


def broken_rules(schema: TableSchema, frame: pl.DataFrame) -> Iterator[Fault]:
    """Every rule of the table that rows break; the frame has the table's columns and types already."""
    indexed = frame.with_row_index("__row")
    counts = pl.col("status") == JudgeStatus.OK.value if "status" in schema.names else pl.lit(True)
    for column in schema.columns:
        for condition, what in _column_rules(column, counts):
            yield from _fault(schema, indexed.filter(condition), column.name, what)
    if schema.has_probabilities:
        total = pl.sum_horizontal(PROBABILITIES)
        off = indexed.filter(counts & ((total - 1).abs() > SUM_TOLERANCE))
        yield from _fault(schema, off.with_columns(total.alias("__sum")), "__sum", "probabilities do not sum to 1", "+".join(PROBABILITIES))
    twice = indexed.filter(frame.select(schema.keys).is_duplicated())
    yield from _fault(schema, twice.sort(*schema.keys, "__row"), schema.keys[-1], f"two rows for the same ({', '.join(schema.keys)})")


def _column_rules(column: Column, counts: pl.Expr) -> Iterator[tuple[pl.Expr, str]]:
    """Conditions under which a row is at fault, with the words for it."""
    value = pl.col(column.name)
    if not column.nullable:
        yield (
            value.is_null() & (counts if column.ok_only else pl.lit(True)),
            "missing value" + (" in a judgement that is ok" if column.ok_only else ""),
        )
    if str(column.type) == "double":
        yield value.is_nan() | value.is_infinite(), "not a finite number"
    if column.low is not None:
        yield value < column.low, f"below {column.low:g}"
    if column.high is not None:
        yield value > column.high, f"above {column.high:g}"
    if column.values:
        yield ~value.is_in(list(column.values)), f"not one of {', '.join(str(v) for v in column.values)}"


def _fault(schema: TableSchema, rows: pl.DataFrame, column: str, what: str, shown_as: str | None = None) -> Iterator[Fault]:
    if not rows.height:
        return
    names = [name for name in schema.keys if name not in schema.partition] or list(schema.keys)
    examples = [
        f"row {row['__row']} ({', '.join(f'{name}={row[name]!r}' for name in names if name != column)}): {row[column]!r}"
        for row in rows.head(_SHOWN).to_dicts()
    ]
    yield Fault(shown_as or column, what, rows.height, "; ".join(examples))


def _with_all_columns(schema: TableSchema, frame: pl.DataFrame, partition: Mapping[str, str | int], where: str) -> pl.DataFrame:
    unknown = [name for name in frame.columns if name not in schema.names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], schema.names, 1)
        raise DataError(
            f"unknown column {unknown[0]!r} for the table {schema.name}",
            where=where,
            fix=f"did you mean {near[0]!r}?" if near else f"columns are {', '.join(schema.names)}",
        )
    missing = [name for name in schema.names if name not in frame.columns]
    lost = [name for name in missing if name not in partition and not schema.column(name).nullable]
    if lost:
        raise DataError(
            f"missing column {', '.join(lost)} for the table {schema.name}", where=where, fix=f"found {', '.join(frame.columns)}"
        )
    return frame.with_columns(pl.lit(partition.get(name)).alias(name) for name in missing)


def _typed(schema: TableSchema, frame: pl.DataFrame, where: str) -> pl.DataFrame:
    """Columns in order and cast where nothing is lost; text is never taken for a number, nor a fraction for a whole one."""
    columns: list[pl.Series] = []
    for name, target in schema.polars.items():
        series = frame[name]
        if series.dtype != target and series.null_count() < series.len() and not _castable(series.dtype, target):
            shown = ", ".join(repr(value) for value in series.drop_nulls().head(_SHOWN))
            raise DataError(
                f"column {name}: {series.dtype} where {target} belongs", where=where, fix=f"first values {shown}" if shown else None
            )
        try:
            columns.append(series.cast(target, strict=True))
        except pl.exceptions.InvalidOperationError as error:
            bad = series.filter(series.cast(target, strict=False).is_null() & series.is_not_null()).head(_SHOWN)
            raise DataError(f"column {name}: {', '.join(map(repr, bad))} does not fit into {target}", where=where) from error
    return pl.DataFrame(columns)


def _castable(source: pl.DataType, target: pl.DataType) -> bool:
    """Whether every value of one type has its like in the other (or the cast itself says which has not)."""
    if source == pl.Null:
        return True
    if target == pl.Float64:
        return source.is_numeric()
    if target.is_integer():
        return source.is_integer()
    if target == pl.String:
        return isinstance(source, (pl.Categorical, pl.Enum))
    if isinstance(target, pl.Datetime):
        return isinstance(source, pl.Datetime) and source.time_zone == "UTC"
    return False
