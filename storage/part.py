"""Rows on their way into a table: what is given to the store, and what becomes of it there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from valuedrift.storage import parquet
from valuedrift.storage.location import path_part
from valuedrift.storage.manifest import Entry
from valuedrift.storage.rules import conformed
from valuedrift.storage.schemas.table import TableSchema


@dataclass(frozen=True)
class Part:
    """Rows to be written; the fields are those of `Store.put`."""

    table: str
    frame: pl.DataFrame
    partition: Mapping[str, str | int]
    key: str
    identity: Mapping[str, Any]
    slot: str = ""


def encoded(schema: TableSchema, part: Part, partition: dict[str, str | int]) -> tuple[Entry, bytes]:
    """The part's entry and the bytes of its object, checked."""
    place = schema.folder(partition)
    rows = conformed(schema, part.frame, partition, where=place + (f" ({part.slot})" if part.slot else ""))
    data = parquet.encoded(schema, [rows])
    sha = hashlib.sha256(data).hexdigest()
    entry = Entry(
        table=schema.name,
        partition=partition,
        key=part.key,
        # the content is part of the name: no object is ever overwritten with other bytes, so a reader never sees one change under it
        path=f"{place}/part-{path_part(part.key)}-{sha[:12]}.parquet",
        rows=rows.height,
        bytes=len(data),
        schema_version=schema.version,
        written=datetime.now(UTC).isoformat(timespec="milliseconds"),
        sha=sha,
        identity=dict(part.identity),
        slot=part.slot,
    )
    return entry, data
