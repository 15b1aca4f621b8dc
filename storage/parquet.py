"""Parquet bytes of our tables: the same rows give the same bytes, and every file says which table and version it is."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from valuedrift.errors import DataError
from valuedrift.storage.schemas.table import TableSchema

TABLE_KEY = b"valuedrift.table"
VERSION_KEY = b"valuedrift.schema_version"
_LEVEL = 3


def encoded(schema: TableSchema, parts: Iterable[pl.DataFrame]) -> bytes:
    """One Parquet file with one row group a part.

    Args:
        schema: The table; its name and version go into the file's metadata.
        parts: Rows that were checked, in the table's columns and types.
    """
    metadata = {TABLE_KEY: schema.name.encode(), VERSION_KEY: str(schema.version).encode()}
    arrow = schema.arrow.with_metadata(metadata)
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, arrow, compression="zstd", compression_level=_LEVEL, version="2.6") as writer:
        for part in parts:
            table = part.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(arrow)
            writer.write_table(table, row_group_size=max(part.height, 1))
    return buffer.getvalue()


def decoded(data: bytes, where: str, row_groups: Sequence[int] | None = None) -> pl.DataFrame:
    """The rows of a Parquet file, or of some of its row groups.

    Raises:
        DataError: The bytes are not a whole Parquet file.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        table = file.read() if row_groups is None else file.read_row_groups(list(row_groups))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a whole Parquet file: {str(error).splitlines()[0]}", where=where) from error
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def labels(data: bytes) -> tuple[str | None, int | None]:
    """Table and schema version that a file claims, None where it claims none (a file of others)."""
    metadata = pq.read_schema(io.BytesIO(data)).metadata or {}
    table, version = metadata.get(TABLE_KEY), metadata.get(VERSION_KEY)
    return table.decode() if table else None, int(version) if version else None
