"""Parquet files of others, at any address: a file, a folder, a glob, local or in a store; a broken one is named before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import unquote

import polars as pl

from valuedrift.errors import DataError
from valuedrift.storage.fetching import fetched
from valuedrift.storage.location import Location
from valuedrift.storage.parquet import DIRECT, options_of

FILE = "__file__"
"""Column of a scan that says which file a row is from; it costs nothing unless it is asked for."""
_READERS = 16
_GLOB = re.compile(r"[*?\[]")
_HIVE = re.compile(r"([^=/]+)=([^/]*)")


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A Parquet file whose footer was read.

    Attributes:
        location: Where it lies.
        source: What polars opens: its address, or a copy where polars does not reach the store.
        schema: Columns in the file.
        folders: Columns that its path gives (``run_id=a/step=100/``) and the file itself does not have.
    """

    location: Location
    source: str
    schema: pl.Schema
    folders: dict[str, str | int]

    @property
    def columns(self) -> pl.Schema:
        """Columns of the file and of its path."""
        return pl.Schema(
            {**self.schema, **{name: pl.Int64 if isinstance(value, int) else pl.String for name, value in self.folders.items()}}
        )


def own_table(address: str, table: str) -> pl.LazyFrame | None:
    """The rows of one of our own tables, if that is where an address leads: what its manifest names, not what lies in its folders.

    Args:
        address: A root, or the folder of the table in it, or a partition of that (``…/stances/study=demo``).
        table: The table that is wanted.

    Returns:
        The rows in the table's present schema; None if no manifest says that this is a root.
    """
    from valuedrift.storage.manifest import FOLDER
    from valuedrift.storage.store import Store

    place = Location.parse(address)
    if _GLOB.search(place.path) or place.path.endswith(".parquet"):
        return None
    parts = place.path.rstrip("/").split("/")
    at = max((i for i, part in enumerate(parts) if part == table), default=len(parts))
    root = Location(place.scheme, place.bucket, "/".join(parts[:at]))
    if not (root / FOLDER).listing():
        return None
    partition = dict(_HIVE.findall("/".join(parts[at + 1 :])))
    return Store(root.uri).scan(
        table, **{name: _value(unquote(text)) if name == "step" else unquote(text) for name, text in partition.items()}
    )


def find_parquet(address: str, *, leave_out: Iterable[Location] = ()) -> list[ParquetFile]:
    """The Parquet files at an address, in order of their paths.

    Args:
        address: A file, a folder (read at any depth), a glob (``*`` within a folder, ``**`` across), each local or in a store (``s3://bucket/prefix``, ``gs://…``).
        leave_out: Files of a folder or glob that are not meant (results that are written there).

    Raises:
        DataError: Nothing is there, the folder holds no Parquet file, or a file is truncated or no Parquet.
        UserError: The address cannot be reached.
    """
    place = Location.parse(address)
    if place.exists():
        found = [place]
    else:
        base, pattern = _split(place)
        skipped = set(leave_out)
        found = [one.location for one in base.listing() if _visible(one.location, base) and one.location not in skipped]
        matching = re.compile(pattern)
        found = [
            one for one in found if matching.fullmatch(one.path) and (_GLOB.search(place.path) or one.name.endswith((".parquet", ".pq")))
        ]
    if not found:
        raise DataError("no Parquet file here", where=address, fix="give a Parquet file, a folder with some, a glob or an s3:// address")
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(_opened, found))


def scan_parquet(files: Sequence[ParquetFile], columns: Iterable[str]) -> pl.LazyFrame:
    """One lazy frame over files that need not have the same columns or number types.

    Args:
        files: As `find_parquet` returns them.
        columns: Those wanted; the ones that no file has are left out, where only some have it the others give null.

    Returns:
        Text as String, whole numbers as i64, others as f64, and `FILE`.
    """
    wanted = list(columns)
    groups: dict[tuple[object, ...], list[ParquetFile]] = {}
    for file in files:
        kinds = tuple((name, str(file.columns[name]), name in file.schema) for name in wanted if name in file.columns)
        groups.setdefault((kinds, *_in_path(file.location)), []).append(file)
    return pl.concat([_scanned(group, wanted) for group in groups.values()], how="diagonal_relaxed")


def broken_file(files: Sequence[ParquetFile], error: Exception) -> DataError:
    """The error for a scan that failed while its rows were read: says which file cannot be read."""
    for file in files:
        try:
            pl.scan_parquet(file.source, storage_options=options_of(file.location), hive_partitioning=False).select(
                pl.all().null_count()
            ).collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as reason:
            return DataError(f"damaged Parquet file: {_line(reason)}", where=file.location.uri, fix="copy or make it again")
    return DataError(f"cannot be read: {_line(error)}", where=files[0].location.uri if files else None)


def _scanned(group: list[ParquetFile], wanted: list[str]) -> pl.LazyFrame:
    first = group[0]
    physical = {name: first.schema[name] for name in wanted if name in first.schema}
    # Columns of the path go through polars' own reading of such folders, so that a filter on them skips whole files.
    from_path = {name: kind for name, kind in first.columns.items() if name in first.folders and name in wanted}
    types: dict[str, pl.DataType] = {name: from_path.get(name, physical.get(name, pl.String())) for name in _in_path(first.location)}
    frame = pl.scan_parquet(
        [file.source for file in group],
        schema=physical,
        extra_columns="ignore",
        include_file_paths=FILE,
        hive_partitioning=bool(from_path),
        hive_schema=types if from_path else None,
        glob=False,
        storage_options=options_of(first.location),
    )
    return frame.select(*(_plain(name, kind) for name, kind in physical.items()), *from_path, FILE)


def _plain(name: str, kind: pl.DataType) -> pl.Expr:
    target: pl.DataType = kind
    if kind.is_numeric():
        target = pl.Int64() if kind.is_integer() else pl.Float64()
    elif isinstance(kind, (pl.Categorical, pl.Enum)):
        target = pl.String()
    return pl.col(name) if kind == target else pl.col(name).cast(target)


def _opened(place: Location) -> ParquetFile:
    """A file with its footer read."""
    source = place.uri if place.scheme in DIRECT else str(fetched(place.uri))
    try:
        schema = pl.scan_parquet(source, storage_options=options_of(place), hive_partitioning=False, glob=False).collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        fix = "a truncated copy, a file still being written, or another format; copy or make it again"
        raise DataError(f"not a whole Parquet file: {_line(error)}", where=place.uri, fix=fix) from error
    return ParquetFile(place, source, schema, _folders(place, schema))


def _split(place: Location) -> tuple[Location, str]:
    """The folder to list, and a regular expression for the whole paths that are meant below it."""
    parts = place.path.split("/")
    plain = next((i for i, part in enumerate(parts) if _GLOB.search(part)), len(parts))
    base, pattern = "/".join(parts[:plain]), "/".join(parts[plain:])
    folder = Location(place.scheme, place.bucket, base or ("/" if place.scheme == "file" else ""))
    prefix = re.escape(base) + "/" if base else ""
    return folder, prefix + (_expression(pattern) if pattern else ".*")


def _expression(pattern: str) -> str:
    """A glob as a regular expression."""
    tokens = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", pattern)
    return "".join(tokens.get(piece, piece.replace("[!", "[^", 1) if piece.startswith("[") else re.escape(piece)) for piece in pieces)


def _visible(place: Location, base: Location) -> bool:
    """Hidden and underscored names are metadata by custom."""
    return not any(part.startswith((".", "_")) for part in place.relative_to(base).split("/"))


def _folders(place: Location, schema: pl.Schema) -> dict[str, str | int]:
    folders = place.path.rsplit("/", 1)[0]
    return {name: _value(unquote(text)) for name, text in _HIVE.findall(folders) if name not in schema}


def _in_path(place: Location) -> list[str]:
    """Names of the columns that a path gives, in its order."""
    return [name for name, _ in _HIVE.findall(place.path.rsplit("/", 1)[0])]


def _value(text: str) -> str | int:
    """A whole number if the text is one and writes back the same."""
    return int(text) if re.fullmatch(r"0|-?[1-9]\d{0,17}", text) else text


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
