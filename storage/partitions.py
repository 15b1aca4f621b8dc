"""Partitions of tables and filters on them: which folder a part lies in, which rows a filter means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from valuedrift.errors import UserError
from valuedrift.storage.location import path_part
from valuedrift.storage.schemas import SHARED_STUDY
from valuedrift.storage.schemas.table import TableSchema


def ordered_partition(schema: TableSchema, partition: Mapping[str, str | int]) -> dict[str, str | int]:
    """The partition in the schema's order.

    Raises:
        UserError: It does not name exactly the table's partition columns.
    """
    if set(partition) != set(schema.partition):
        given = ", ".join(partition) or "nothing"
        raise UserError(f"table {schema.name} is partitioned by {', '.join(schema.partition)}, not by {given}")
    if partition.get("study") == SHARED_STUDY:
        raise UserError(f"a study cannot be called {SHARED_STUDY!r}", fix="this name is used for tables that all studies share")
    return {name: partition[name] for name in schema.partition}


def folder_of_partition(schema: TableSchema, partition: Mapping[str, str | int]) -> str:
    """The folder of a partition, or of its first columns, relative to the root: ``stances/study=…/run_id=…/step=…``."""
    parts = [f"{name}={value:06d}" if isinstance(value, int) else f"{name}={path_part(value)}" for name, value in partition.items()]
    return "/".join((schema.name, *parts))


def values_of(given: Any) -> list[Any]:
    """The values that a filter allows: a list of them, or one."""
    return list(given) if isinstance(given, (list, tuple, set, frozenset)) else [given]


def row_condition(schema: TableSchema, filters: Mapping[str, Any]) -> pl.Expr:
    """The rows that filters mean: column = value, or one of several.

    Raises:
        UserError: The table has no such column.
    """
    unknown = [name for name in filters if name not in schema.names]
    if unknown:
        raise UserError(f"table {schema.name} has no column {unknown[0]!r}", fix=f"columns are {', '.join(schema.names)}")
    return pl.all_horizontal(pl.lit(True), *(pl.col(name).is_in(values_of(given)) for name, given in filters.items()))
