"""What a table's schema is made of: columns with types and rules, partition, slots, keys, version, and the way from each older version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
import pyarrow as pa

from valuedrift.errors import DataError, UserError
from valuedrift.stance import STANCES
from valuedrift.storage.location import path_part

SHARED_STUDY = "_shared"
"""Where tables lie that belong to no study (probes)."""

PROBABILITIES = tuple(f"p_{stance.value}" for stance in STANCES)

Upgrade = Callable[[pl.LazyFrame], pl.LazyFrame]
"""From rows of one version to rows of the next; lazy, so that an old file is upgraded row group by row group."""


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
class Follows:
    """What a table wants a part for: where a run has some parts of it, one that is lacking is a missing shard.

    Attributes:
        table: The table whose rows (where they tell partitions apart) or parts each want a part.
        lacking: What is said where there is none; ``{run}``, ``{step}`` and ``{slot}`` stand for where.
        partly: What is said where it has fewer rows, if every row wants one; also ``{rows}`` and ``{wanted}``. None: the numbers may differ.
    """

    table: str
    lacking: str
    partly: str | None = None


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
        slots: Columns that tell several parts of one partition apart: one part for each of their values.
        defaults: Values for columns that tables of others rarely have, given where one is imported.
        upgrades: How rows of version 1 become rows of version 2, those of 2 of 3, and so on to the present.
        follows: Which rows or parts of another table each want a part of this one.

    Raises:
        ValueError: Partition, slots or keys name no column, or an upgrade is missing.
    """

    name: str
    doc: str
    version: int
    partition: tuple[str, ...]
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    slots: tuple[str, ...] = ()
    defaults: tuple[tuple[str, str | float], ...] = ()
    upgrades: tuple[Upgrade, ...] = ()
    follows: Follows | None = None

    def __post_init__(self) -> None:
        for name in (*self.partition, *self.keys, *self.slots, *dict(self.defaults)):
            if name not in self.names:
                raise ValueError(f"table {self.name} has no column {name}")
        if len(self.upgrades) != self.version - 1:
            raise ValueError(f"table {self.name} is of version {self.version} and has {len(self.upgrades)} upgrades to it")

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

    def ordered(self, partition: Mapping[str, str | int]) -> dict[str, str | int]:
        """A partition in the order of the table's columns.

        Raises:
            UserError: It does not name exactly the table's partition columns.
        """
        if set(partition) != set(self.partition):
            given = ", ".join(partition) or "nothing"
            raise UserError(f"table {self.name} is partitioned by {', '.join(self.partition)}, not by {given}")
        if partition.get("study") == SHARED_STUDY:
            raise UserError(f"a study cannot be called {SHARED_STUDY!r}", fix="this name is used for tables that all studies share")
        return {name: partition[name] for name in self.partition}

    def folder(self, partition: Mapping[str, str | int]) -> str:
        """The folder of a partition, or of its first columns, relative to the root: ``stances/study=…/run_id=…/step=…``."""
        parts = [f"{name}={value:06d}" if isinstance(value, int) else f"{name}={path_part(value)}" for name, value in partition.items()]
        return "/".join((self.name, *parts))

    def rows_where(self, filters: Mapping[str, Any]) -> pl.Expr:
        """The rows that filters mean: column = value, or one of several.

        Raises:
            UserError: The table has no such column, or it holds values of another type.
        """
        unknown = [name for name in filters if name not in self.names]
        if unknown:
            raise UserError(f"table {self.name} has no column {unknown[0]!r}", fix=f"columns are {', '.join(self.names)}")
        for name, given in filters.items():
            kind = self.polars[name]
            odd = [one for one in values_of(given) if isinstance(one, str) != (kind == pl.String) and one is not None]
            if odd:
                meant = "a text" if kind == pl.String else "a number" if kind.is_numeric() else str(kind)
                raise UserError(f"{name}: {odd[0]!r} is not what column {name} of table {self.name} holds", fix=f"give {meant}")
        return pl.all_horizontal(pl.lit(True), *(pl.col(name).is_in(values_of(given)) for name, given in filters.items()))

    def upgraded(self, frame: pl.LazyFrame, version: int, where: str) -> pl.LazyFrame:
        """Rows of an older version as rows of the present one, columns in order.

        Args:
            frame: The rows.
            version: Their version.
            where: What to call them in a message.

        Raises:
            DataError: The version is newer than this program.
        """
        if version > self.version:
            raise DataError(
                f"table {self.name} has schema version {version}, this program knows up to {self.version}",
                where=where,
                fix="install a newer valuedrift",
            )
        for upgrade in self.upgrades[version - 1 :]:
            frame = upgrade(frame)
        return frame.select(self.names)


def values_of(given: Any) -> list[Any]:
    """The values that a filter allows: a list of them, or one."""
    return list(given) if isinstance(given, (list, tuple, set, frozenset)) else [given]


def text(name: str, doc: str, **rules: Any) -> Column:
    """A column of text; ``rules`` are the other fields of ``Column``."""
    return Column(name, pa.string(), doc, **rules)


def real(name: str, doc: str, **rules: Any) -> Column:
    """A column of float64."""
    return Column(name, pa.float64(), doc, **rules)


def whole(name: str, doc: str, kind: pa.DataType | None = None, **rules: Any) -> Column:
    """A column of whole numbers, int64 unless said otherwise."""
    return Column(name, kind or pa.int64(), doc, **rules)


def flag(name: str, doc: str, **rules: Any) -> Column:
    """A column of yes or no."""
    return Column(name, pa.bool_(), doc, **rules)
