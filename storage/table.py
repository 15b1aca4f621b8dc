"""What a table's schema is made of: columns with types and rules, partition, keys, version."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
import pyarrow as pa

PROBABILITIES = ("p_support", "p_neutral", "p_oppose")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Its name in Parquet, SQL and YAML.
        type: Its Arrow type.
        doc: What it says, with unit and range.
        nullable: Whether a value may be missing.
        low: Smallest value allowed, None for no bound.
        high: Largest value allowed, None for no bound.
        values: The only values allowed; empty for any.
        ok_only: May be missing where, and only where, the row's status is not ``ok``.
    """

    name: str
    type: pa.DataType
    doc: str
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    values: tuple[str | int, ...] = ()
    ok_only: bool = False


@dataclass(frozen=True)
class TableSchema:
    """A table.

    Attributes:
        name: Its name everywhere.
        doc: What one row is.
        version: Raised with every change of columns or meaning; stands in every file and manifest.
        partition: Columns that say which file a row lies in.
        keys: Columns that identify a row; no two rows agree in all of them.
        columns: All columns, in the order of the file.
    """

    name: str
    doc: str
    version: int
    partition: tuple[str, ...]
    keys: tuple[str, ...]
    columns: tuple[Column, ...]

    @cached_property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of a file, without metadata."""
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable or c.ok_only) for c in self.columns])

    @cached_property
    def polars(self) -> pl.Schema:
        """Column names and polars types."""
        frame = pl.from_arrow(self.arrow.empty_table())
        assert isinstance(frame, pl.DataFrame)
        return frame.schema

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def has_probabilities(self) -> bool:
        """Whether rows hold a stance distribution that must sum to 1."""
        return set(PROBABILITIES) <= set(self.names)

    def column(self, name: str) -> Column:
        """A column by name."""
        return next(column for column in self.columns if column.name == name)


def text(name: str, doc: str, **rules: Any) -> Column:
    """A column of text; ``rules`` are the other fields of ``Column``."""
    return Column(name, pa.string(), doc, **rules)


def real(name: str, doc: str, **rules: Any) -> Column:
    """A column of float64."""
    return Column(name, pa.float64(), doc, **rules)


def whole(name: str, doc: str, kind: pa.DataType | None = None, **rules: Any) -> Column:
    """A column of whole numbers, int64 unless said otherwise."""
    return Column(name, kind or pa.int64(), doc, **rules)
