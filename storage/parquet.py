"""Parquet of our tables: rows to bytes and back, and the rows of the objects that manifest entries name, eagerly or lazily.

The same rows give the same bytes, and every file says which table and version it is.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from valuedrift.errors import DataError
from valuedrift.storage.location import Location
from valuedrift.storage.manifest import Entry
from valuedrift.storage.schemas.table import TableSchema

TABLE_KEY = b"valuedrift.table"
VERSION_KEY = b"valuedrift.schema_version"
_LEVEL = 3
_READERS = 16
"""Objects fetched at once; what counts on S3 is the wait for each."""
DIRECT = ("file", "s3")
"""Where polars' own reader is used, which fetches only the columns and row groups that a query needs; from other stores it is given the bytes."""


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


def claimed(data: bytes) -> tuple[str | None, int | None]:
    """Table and schema version that a file claims, None where it claims none (a file of others)."""
    metadata = pq.read_schema(io.BytesIO(data)).metadata or {}
    table, version = metadata.get(TABLE_KEY), metadata.get(VERSION_KEY)
    return table.decode() if table else None, int(version) if version else None


def frame_of(root: Location, schema: TableSchema, entries: Sequence[Entry]) -> pl.DataFrame:
    """All rows of some entries of one table, in the order of the entries.

    Raises:
        FileNotFoundError: An object is gone.
        DataError: An object is damaged or of a newer version.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        frames = list(pool.map(lambda group: _part(root, schema, group), _by_object(entries)))
    return pl.concat([schema.polars.to_frame(), *frames]) if frames else schema.polars.to_frame()


def lazy_frame_of(root: Location, schema: TableSchema, entries: Sequence[Entry]) -> pl.LazyFrame:
    """All rows of some entries of one table; nothing is read before it is collected."""
    places: dict[int, list[Location]] = {}
    frames = [schema.polars.to_frame().lazy()]
    for group in _by_object(entries):
        if _whole(group):
            places.setdefault(group[0].schema_version, []).append(root / group[0].path)
        else:
            scanned = _scanned(schema, group[0].schema_version, [root / group[0].path])
            frames += [scanned.slice(entry.share.first_row, entry.rows) for entry in group if entry.share]
    frames += [_scanned(schema, version, same) for version, same in sorted(places.items())]
    return pl.concat(frames)


def whole_objects(entries: Sequence[Entry]) -> list[Entry]:
    """The entries whose objects hold nothing but live entries, so that every row of the object counts."""
    return [entry for group in _by_object(entries) if _whole(group) for entry in group]


def options_of(place: Location) -> dict[str, str] | None:
    """What polars must know to read from a place by itself."""
    if place.scheme != "s3":
        return None
    from valuedrift.storage.s3 import storage_options

    return storage_options()


def _scanned(schema: TableSchema, version: int, places: Sequence[Location]) -> pl.LazyFrame:
    # the present schema is known, so that no file must be opened to learn it
    known = schema.polars if version == schema.version else None
    sources: list[str] | list[bytes] = [place.uri for place in places]
    if places[0].scheme not in DIRECT:
        sources = [place.read_bytes() for place in places]
    frame = pl.scan_parquet(sources, schema=known, storage_options=options_of(places[0]), hive_partitioning=False, glob=False)
    return schema.upgraded(frame, version, places[0].uri)


def _part(root: Location, schema: TableSchema, group: Sequence[Entry]) -> pl.DataFrame:
    place = root / group[0].path
    row_groups = None if _whole(group) else [entry.share.row_group for entry in group if entry.share]
    data, version = place.read_bytes(), group[0].schema_version
    frame = schema.upgraded(decoded(data, place.uri, row_groups).lazy(), version, place.uri)
    if (said := claimed(data)) != (schema.name, version):
        what = f"the file says {said[0]} version {said[1]}, the manifest {schema.name} version {version}; only one of them was migrated"
        raise DataError(what, where=place.uri, fix="valuedrift tables check lists all that is wrong")
    return frame.collect()


def _whole(group: Sequence[Entry]) -> bool:
    """Whether the entries are all rows of their object."""
    share = group[0].share
    return share is None or share.object_rows == sum(entry.rows for entry in group)


def _by_object(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Entries that share an object (after compaction) together."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.path, []).append(entry)
    return list(groups.values())
