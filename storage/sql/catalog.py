"""The tables as SQL: documented views over exactly the objects that the manifests name, opened in milliseconds, for reading only.

Opening reads manifests and nothing else of the tables. A local object is scanned by DuckDB itself, an object on S3, or one of an older schema
version, by polars, which fetches the columns and row groups that a query needs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import polars as pl

from valuedrift.errors import DataError
from valuedrift.storage.manifest import Entry
from valuedrift.storage.parquet import lazy_frame_of, whole_objects
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.schemas.table import TableSchema
from valuedrift.storage.sql.guard import check_question, explained, first_reason
from valuedrift.storage.sql.readonly import SCHEME, TableFiles
from valuedrift.storage.sql.views import views
from valuedrift.storage.store import Store

_TYPES = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}
_BATCH = 10_000
_PARTS = "_parts_"
"""Prefix of the registered lazy frames beneath the views."""


@dataclass(frozen=True)
class Rows:
    """The answer to a query as Python values.

    Attributes:
        names: Column names.
        types: DuckDB's types.
        rows: Values by row, fetched as they are asked for.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


class Catalog:
    """A DuckDB connection that sees the tables of a root as they were when it was opened, and nothing else of the machine.

    Args:
        store: The tables.

    Attributes:
        is_empty: Whether there are no tables yet.
    """

    def __init__(self, store: Store) -> None:
        self._root = store.root
        entries = store.entries()
        self.is_empty = not entries
        self._connection = duckdb.connect(":memory:")
        try:
            self._open(entries)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection and what it holds."""
        self._connection.close()

    def rows(self, query: str) -> Rows:
        """The answer to one question as Python values, one at a time: the next question ends it.

        Raises:
            QueryError: It is no question, DuckDB does not understand it, or it fails; says where.
        """
        check_question(self._connection, query)
        try:
            answer = self._connection.execute(query)
            described = answer.description or []
            return Rows(tuple(column[0] for column in described), tuple(str(column[1]) for column in described), _fetched(answer))
        except duckdb.Error as error:
            raise explained(error) from error

    def frame(self, query: str) -> pl.DataFrame:
        """The answer to one question as a polars frame.

        Raises:
            QueryError: As for `rows`.
        """
        check_question(self._connection, query)
        try:
            frame: pl.DataFrame = self._connection.sql(query).pl()
        except duckdb.Error as error:
            raise explained(error) from error
        return frame

    def _open(self, entries: Sequence[Entry]) -> None:
        native = [] if self._root.is_remote else [e for e in whole_objects(entries) if e.schema_version == TABLES[e.table].version]
        paths = {entry.path for entry in native}
        if paths:
            self._connection.register_filesystem(TableFiles(Path(self._root.path), paths))
        # the temporary folder takes what does not fit into memory; a name of this process that does not exist before it is needed
        temporary = Path(tempfile.gettempdir()) / f"valuedrift-sql-{os.getpid()}"
        settings = f"SET allowed_paths = [{_quoted(paths)}]; SET temp_directory = '{temporary}'; SET TimeZone = 'UTC'"
        self._connection.execute(settings)
        for table in TABLES.values():
            self._create_table_view(table, [e for e in entries if e.table == table.name], paths)
        for view in views().values():
            if view.query is not None:
                self._connection.execute(f"CREATE VIEW {view.name} AS {view.query}")
        self._connection.execute(
            "SET python_enable_replacements = false; SET enable_external_access = false; SET lock_configuration = true"
        )

    def _create_table_view(self, table: TableSchema, entries: Sequence[Entry], native: set[str]) -> None:
        columns = ", ".join(f'"{name}"' for name in table.names)
        sources = []
        if direct := {entry.path for entry in entries} & native:
            sources.append(f"SELECT {columns} FROM read_parquet([{_quoted(direct)}], hive_partitioning = false)")
        if others := [entry for entry in entries if entry.path not in native]:
            self._connection.register(f"{_PARTS}{table.name}", lazy_frame_of(self._root, table, others))
            sources.append(f"SELECT {columns} FROM {_PARTS}{table.name}")
        if not sources:
            typed = ", ".join(f'NULL::{_TYPES[str(column.type)]} AS "{column.name}"' for column in table.columns)
            sources.append(f"SELECT {typed} WHERE false")
        try:
            self._connection.execute(f"CREATE VIEW {table.name} AS {' UNION ALL '.join(sources)}")
        except duckdb.Error as error:
            fix = "valuedrift tables check lists all that is wrong"
            raise DataError(f"the table {table.name} cannot be opened: {first_reason(error)}", where=self._root.uri, fix=fix) from error


def _fetched(answer: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    try:
        while batch := answer.fetchmany(_BATCH):
            yield from batch
    except duckdb.Error as error:
        raise explained(error) from error


def _quoted(paths: set[str]) -> str:
    return ", ".join("'" + f"{SCHEME}://{path}".replace("'", "''") + "'" for path in sorted(paths))
