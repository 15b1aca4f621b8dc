"""Tables as files to hand to somebody: `valuedrift tables export`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from valuedrift.errors import UserError
from valuedrift.storage import parquet
from valuedrift.storage.location import Location
from valuedrift.storage.schemas import TABLES, table_schema
from valuedrift.storage.schemas.table import TableSchema
from valuedrift.storage.store import Store
from valuedrift.storage.views import views

_ROWS_A_GROUP = 200_000


def export_tables(
    store: Store, out: str, tables: Sequence[str], kind: str, *, study: str | None = None, force: bool = False
) -> dict[str, int]:
    """Write tables as files to hand to somebody.

    Args:
        store: Where from.
        out: A file for one table or for ``duckdb``, else a folder; local or ``s3://``.
        tables: Which tables; empty ones are left out, but for ``duckdb``.
        kind: ``csv``, ``parquet`` or ``duckdb``.
        study: One study only.
        force: Whether files that are there may be overwritten.

    Returns:
        Rows written by table.

    Raises:
        UserError: There is nothing to export, or a file is there already.
    """
    place = Location.parse(out).reached()
    frames = {name: store.scan(name, **_only(table_schema(name), study)) for name in tables}
    counts = {name: int(frame.select(pl.len()).collect().item()) for name, frame in frames.items()}
    if not any(counts.values()):
        raise UserError("there are no rows to export", where=store.root.uri, fix="valuedrift tables shows what is there")
    if kind == "duckdb":
        _put_new(place, partial(_duckdb_bytes, frames), force)
        return counts
    written = {name: rows for name, rows in counts.items() if rows}
    single = place.path.endswith(f".{kind}")
    if single and len(written) > 1:
        raise UserError(f"{len(written)} tables do not fit into one {kind} file", where=out, fix="name one --table, or give a folder")
    for name in written:
        target = place if single else place / f"{name}.{kind}"
        _put_new(target, partial(_encoded, name, frames[name], kind), force)
    return written


def _only(schema: TableSchema, study: str | None) -> dict[str, str]:
    return {"study": study} if study is not None and "study" in schema.names else {}


def _put_new(place: Location, data: Callable[[], bytes], force: bool) -> None:
    if not force and place.exists():
        raise UserError("there is a file already", where=place.uri, fix="give another name, or --force")
    place.put_bytes(data())


def _encoded(name: str, frame: pl.LazyFrame, kind: str) -> bytes:
    return _ENCODERS[kind](table_schema(name), frame.collect())


def _parquet_bytes(schema: TableSchema, frame: pl.DataFrame) -> bytes:
    return parquet.encoded(schema, frame.iter_slices(_ROWS_A_GROUP))


def _csv_bytes(schema: TableSchema, frame: pl.DataFrame) -> bytes:
    return frame.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ").encode()


_ENCODERS: dict[str, Callable[[TableSchema, pl.DataFrame], bytes]] = {"csv": _csv_bytes, "parquet": _parquet_bytes}
KINDS = (*_ENCODERS, "duckdb")


def _duckdb_bytes(frames: Mapping[str, pl.LazyFrame]) -> bytes:
    """A DuckDB database with the tables, the derived views, and what every column means as comments."""
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tables.duckdb"
        with duckdb.connect(str(file)) as connection:
            for name in TABLES:  # all of them: the views build on tables that may be empty
                frame = frames.get(name, TABLES[name].polars.to_frame().lazy())
                connection.register("_rows", frame)
                connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _rows")
                connection.unregister("_rows")
            for view in views().values():
                if view.query is not None:
                    connection.execute(f"CREATE VIEW {view.name} AS {view.query}")
                kind = "TABLE" if view.query is None else "VIEW"
                connection.execute(f"COMMENT ON {kind} {view.name} IS {_literal(view.doc)}")
                for column, doc in view.columns.items():
                    connection.execute(f'COMMENT ON COLUMN {view.name}."{column}" IS {_literal(doc)}')
        return file.read_bytes()


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
