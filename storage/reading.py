"""Rows from the objects that manifest entries name, eagerly or lazily, in the present schema of their table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import polars as pl

from valuedrift.storage import parquet
from valuedrift.storage.location import Location
from valuedrift.storage.manifest import Entry
from valuedrift.storage.schemas.table import TableSchema

_READERS = 16
"""Objects fetched at once; what counts on S3 is the wait for each."""
DIRECT = ("file", "s3")
"""Where polars' own reader is used, which fetches only the columns and row groups that a query needs; from other stores it is given the bytes."""


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
    frame = parquet.decoded(place.read_bytes(), place.uri, row_groups)
    return schema.upgraded(frame.lazy(), group[0].schema_version, place.uri).collect()


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
