"""The tables as SQL: documented views over exactly the objects that the manifests name, opened in milliseconds, for reading only.

Opening reads manifests and nothing else of the tables. A local object is scanned by DuckDB itself, an object on S3, or one of an older schema
version, by polars, which fetches the columns and row groups that a query needs.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import duckdb
import polars as pl

from valuedrift.errors import DataError, UserError
from valuedrift.storage.manifest import Entry
from valuedrift.storage.parquet import lazy_frame_of, whole_objects
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.schemas.table import TableSchema
from valuedrift.storage.sql.guard import check_query, explained, first_reason
from valuedrift.storage.sql.readonly import SCHEME, TableFiles
from valuedrift.storage.sql.views import literal, views
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
_POLL_SECONDS = 0.05
_Answer = TypeVar("_Answer")
_NO_TABLE = re.compile(r"Table with name (\w+) does not exist")
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

    A table that cannot be opened (damaged, or of a newer version) says so when it is asked, and stands in nobody else's way.

    Args:
        store: The tables.

    Attributes:
        is_empty: Whether there are no tables yet.
    """

    def __init__(self, store: Store) -> None:
        self._root = store.root
        entries = store.entries()
        self.is_empty = not entries
        self._unopened: dict[str, UserError] = {}
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
        """The answer to one query as Python values, one at a time: the next query ends it.

        Raises:
            QueryError: It is no query, DuckDB does not understand it, or it fails; says where.
        """
        check_query(self._connection, query)
        try:
            answer = self._interruptible(lambda: self._connection.execute(query))
            described = answer.description or []
            return Rows(tuple(column[0] for column in described), tuple(str(column[1]) for column in described), self._fetched(answer))
        except duckdb.Error as error:
            raise self._explained(error) from error

    def frame(self, query: str) -> pl.DataFrame:
        """The answer to one query as a polars frame.

        Raises:
            QueryError: As for `rows`.
        """
        check_query(self._connection, query)
        try:
            frame: pl.DataFrame = self._interruptible(lambda: self._connection.sql(query).pl())
        except duckdb.Error as error:
            raise self._explained(error) from error
        return frame

    def _fetched(self, answer: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
        try:
            while batch := self._interruptible(lambda: answer.fetchmany(_BATCH)):
                yield from batch
        except duckdb.Error as error:
            raise explained(error) from error

    def _interruptible(self, call: Callable[[], _Answer]) -> _Answer:
        """What DuckDB answers; Ctrl-C ends it at once. DuckDB itself looks for signals only between the batches of a query."""
        with ThreadPoolExecutor(1) as worker:
            asked: list[Future[_Answer]] = []
            try:
                asked.append(worker.submit(call))
                while not wait(asked, timeout=_POLL_SECONDS).done:  # a wait without end may not hear a signal that another thread got
                    pass
                return asked[0].result()
            except KeyboardInterrupt:
                while not wait(asked, timeout=_POLL_SECONDS).done and asked:  # again where it came before DuckDB had begun
                    self._connection.interrupt()
                raise

    def _explained(self, error: duckdb.Error) -> UserError:
        """What is wrong with a query, or with the table that it asks."""
        asked = _NO_TABLE.search(str(error))
        return self._unopened.get(asked[1].lower(), explained(error)) if asked else explained(error)

    def _open(self, entries: Sequence[Entry]) -> None:
        known = [entry for entry in entries if entry.table in TABLES]
        native = [] if self._root.is_remote else [e for e in whole_objects(known) if e.schema_version == TABLES[e.table].version]
        paths = {entry.path for entry in native}
        if paths:
            self._connection.register_filesystem(TableFiles(Path(self._root.path), paths))
        # the temporary folder takes what does not fit into memory; a name of this process that does not exist before it is needed
        temporary = Path(tempfile.gettempdir()) / f"valuedrift-sql-{os.getpid()}"
        settings = f"SET allowed_paths = [{_quoted(paths)}]; SET temp_directory = {literal(str(temporary))}; SET TimeZone = 'UTC'"
        self._connection.execute(f"{settings}; SET enable_progress_bar = false")  # it is drawn amid the answer
        for table in TABLES.values():
            with self._told_when_asked(table.name):
                self._create_table_view(table, [e for e in entries if e.table == table.name], paths)
        for view in views().values():
            if view.query is not None:
                with self._told_when_asked(view.name):
                    self._connection.execute(f"CREATE VIEW {view.name} AS {view.query}")
        for name in {e.table for e in entries} - {*TABLES}:
            what = f"the table {name} was written by a newer valuedrift, or one with tables of its own"
            self._unopened[name.lower()] = DataError(what, where=self._root.uri, fix="ask with that one")
        self._connection.execute(
            "SET python_enable_replacements = false; SET enable_external_access = false; SET lock_configuration = true"
        )

    @contextlib.contextmanager
    def _told_when_asked(self, name: str) -> Iterator[None]:
        """What is wrong with one view is the concern of who asks it; all others can be asked."""
        try:
            yield
        except DataError as error:
            self._unopened[name] = error
        except duckdb.CatalogException as error:  # a view on a table that could not be opened
            self._unopened[name] = self._explained(error)

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


def _quoted(paths: set[str]) -> str:
    return ", ".join(literal(f"{SCHEME}://{path}") for path in sorted(paths))
