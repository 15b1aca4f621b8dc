"""Tables as files to hand to somebody (`valuedrift tables export`), and tables of others into the store (`valuedrift tables import`)."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.errors import DataError, UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.storage import parquet
from valuedrift.storage.location import Location
from valuedrift.storage.part import Part
from valuedrift.storage.schemas import TABLES, table_schema
from valuedrift.storage.schemas.table import TableSchema
from valuedrift.storage.sql.views import literal, views
from valuedrift.storage.store import Store
from valuedrift.tabular import separator_of
from valuedrift.words import listed

_ROWS_A_GROUP = 200_000
_HEADER = 1 << 20
"""Bytes in which the header of a CSV file is looked for."""


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
    check_study(store, study)
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


def check_study(store: Store, study: str | None, run_id: str | None = None) -> None:
    """Refuse the name of a study, or of a run of it, that has no tables here.

    Raises:
        UserError: There is none; says which there are.
    """
    if study is None:
        return
    if study not in (studies := store.studies()):
        raise UserError(
            f"no rows to export or merge: there is no study {study!r}",
            where=store.root.uri,
            fix=f"studies are {', '.join(studies) or 'none yet'}",
        )
    runs = sorted({str(entry.partition["run_id"]) for entry in store.entries(study=study) if "run_id" in entry.partition})
    if run_id is not None and run_id not in runs:
        raise UserError(f"there is no run {run_id!r} of study {study}", where=store.root.uri, fix=f"runs are {listed(runs)}")


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
                connection.execute(f"COMMENT ON {kind} {view.name} IS {literal(view.doc)}")
                for column, doc in view.columns.items():
                    connection.execute(f'COMMENT ON COLUMN {view.name}."{column}" IS {literal(doc)}')
        return file.read_bytes()


_Texts = dict[str, type[pl.String]]
"""Columns that are text, whatever their values look like: in CSV, which has no types, `01` is no number."""
_READERS: dict[str, Callable[[io.BytesIO, _Texts], pl.DataFrame]] = {
    ".parquet": lambda stream, _: pl.read_parquet(stream),
    ".csv": lambda stream, texts: pl.read_csv(stream, separator=_separator(stream), infer_schema_length=None, schema_overrides=texts),
    ".jsonl": lambda stream, _: pl.read_ndjson(stream, infer_schema_length=None),
    ".ndjson": lambda stream, _: pl.read_ndjson(stream, infer_schema_length=None),
}


def _separator(stream: io.BytesIO) -> str:
    header = stream.getvalue()[:_HEADER].decode("utf-8-sig", "replace")
    return separator_of(header)


@dataclass(frozen=True)
class Imported:
    """What an import wrote.

    Attributes:
        rows: Rows.
        parts: Parts.
        filled: Columns that the file lacked, with the value that they were given.
        ignored: Columns of the file that the table does not have.
    """

    rows: int
    parts: int
    filled: dict[str, str | float]
    ignored: list[str]


def import_table(
    store: Store, file: str, table: str, study: str, *, fill: Mapping[str, str] | None = None, replace: bool = False
) -> Imported:
    """Take a table of others into the store; all of it in one commit, or nothing.

    Args:
        store: Where to.
        file: A Parquet, CSV or JSON-lines file, local or ``s3://``.
        table: Which table its rows are of.
        study: The study they shall belong to.
        fill: Values for columns that the file may lack (judge, probe_set).
        replace: Whether they may take the place of parts that are there already.

    Raises:
        DataError: The file is not in the shape of the table; names the column and the first rows.
        UserError: It is not there, of an unknown kind, or would take the place of something.
    """
    schema = table_schema(table)
    place = Location.parse(file)
    data = _bytes(place)
    frame, ignored = _rows(place, data, schema)
    if "study" in schema.names:
        frame = frame.with_columns(pl.lit(study).alias("study"))
    frame, filled = _filled(schema, frame, fill or {})
    if missing := [name for name in (*schema.partition, *schema.slots) if name not in frame.columns]:
        raise DataError(f"missing column {', '.join(missing)} for the table {table}", where=file, fix=f"found {', '.join(frame.columns)}")
    if empty := [name for name in (*schema.partition, *schema.slots) if frame[name].null_count()]:
        raise DataError(f"column {empty[0]}: missing value in {frame[empty[0]].null_count()} rows", where=file)
    name = place.name
    content = hashlib.sha256(data).hexdigest()
    parts = [
        Part(
            table,
            rows,
            partition=dict(zip(schema.partition, values, strict=False)),
            key=fingerprint(["import", content, *map(str, values)]),
            identity={"imported": name, "content": content},
            slot="/".join(map(str, values[len(schema.partition) :])),
        )
        for values, rows in frame.group_by(*schema.partition, *schema.slots, maintain_order=True)
    ]
    if not replace and (taken := next((part for part in parts if _taken(store, part)), None)):
        where = ", ".join(f"{name}={value}" for name, value in taken.partition.items())
        raise UserError(f"{table} of {where} {taken.slot} is there already", where=file, fix="give another --study, or --replace")
    try:
        store.put_all(parts)
    except DataError as error:
        raise DataError(error.what, where=f"{file}, {error.where}", fix=error.fix) from error
    return Imported(frame.height, len(parts), filled, ignored)


def _bytes(place: Location) -> bytes:
    try:
        return place.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError("there is no such file", where=place.uri, fix=f"give a file: {', '.join(_READERS)}") from error


def _rows(place: Location, data: bytes, schema: TableSchema) -> tuple[pl.DataFrame, list[str]]:
    """The file's rows in columns of the table, and the names of its other columns."""
    suffix = f".{place.name.rpartition('.')[2].lower()}"
    if suffix not in _READERS:
        raise UserError("not a kind of file that can be imported", where=place.uri, fix=f"give one of {', '.join(_READERS)}")
    try:
        frame = _READERS[suffix](io.BytesIO(data), {name: pl.String for name, kind in schema.polars.items() if kind == pl.String})
    except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"cannot be read as {suffix[1:]}: {str(error).splitlines()[0]}", where=place.uri) from error
    if suffix == ".parquet":
        table, version = parquet.claimed(data)
        if table == schema.name and version is not None:  # one of ours, perhaps of an older version
            return schema.upgraded(frame.lazy(), version, place.uri).collect(), []
    return frame.select(name for name in frame.columns if name in schema.names), [
        name for name in frame.columns if name not in schema.names
    ]


def _filled(schema: TableSchema, frame: pl.DataFrame, fill: Mapping[str, str]) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Columns that tables of others rarely have, with what is then true of them."""
    defaults: dict[str, Any] = {**dict(schema.defaults), **fill}
    missing = {name: value for name, value in defaults.items() if name in schema.names and name not in frame.columns}
    return frame.with_columns(pl.lit(value).alias(name) for name, value in missing.items()), missing


def _taken(store: Store, part: Part) -> bool:
    there = store.entry(part.table, part.partition, part.slot)
    return there is not None and there.key != part.key
