"""How each kind of file is read row by row: CSV, JSON, JSONL (each also gzipped) and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from valuedrift.errors import DataError

_CELL = 1 << 30
"""Longest CSV cell, in characters: the csv module's own limit of 128 KiB is shorter than a long conversation."""
_BATCH = 1024
_BOM = b"\xef\xbb\xbf"
_SEPARATORS = ",;\t"
"""What stands between cells: a comma, or what spreadsheets write where the comma is in numbers."""
_HEADER = 1 << 20
"""Characters in which a header is looked for."""
_LOOKED_AT = 20
"""Rows that are looked at for what separates cells."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stands in its file."""

    values: Mapping[str, Any]
    where: str
    """File and row, for errors."""
    record: int
    """Number of the row in its file: in CSV as a spreadsheet has it, the header being 1; else from 1."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file that is being read."""

    columns: tuple[str, ...]
    """Names in its header; empty where each row has its own."""
    rows: Iterator[Row]


def kind_of_file(file: Path) -> str:
    """The ending that says how a file is read, in small letters and without ``.gz``."""
    return Path(file.name.lower().removesuffix(".gz")).suffix


def separator_of(text: str, kind: str = ".csv") -> str:
    """What stands between the cells of a CSV file: what gives all rows as many columns as the header, and the header the most.

    Args:
        text: Its beginning, with the whole header.
        kind: Ending of its name; in ``.tsv`` it is the tab, if the header has one.
    """

    def columns(separator: str) -> tuple[bool, int]:
        lengths: list[int] = []
        records = csv.reader(io.StringIO(text[:_HEADER], newline=""), delimiter=separator, strict=True)
        with suppress(csv.Error):  # the beginning may end within a row
            lengths.extend(len(cells) for cells in islice((cells for cells in records if cells), _LOOKED_AT))
        return len(set(lengths)) == 1 and lengths[0] > 1, lengths[0] if lengths else 0

    if kind == ".tsv" and columns("\t")[1] > 1:
        return "\t"
    return max(_SEPARATORS, key=columns)


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Tells what goes wrong in reading a file as an error for users."""
    if not file.stat().st_size:
        raise DataError("the file is empty", where=str(file), fix="one row a line (JSONL, CSV), or a list of rows (JSON)")
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"not a whole gzip file: {error}", where=str(file)) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(file)) from error


def _open(file: Path) -> io.BufferedIOBase | gzip.GzipFile:
    return gzip.open(file, "rb") if file.name.lower().endswith(".gz") else file.open("rb")


def _whole(file: Path, lenient: bool) -> str:
    with _open(file) as stream:
        text = _decoded(stream.read().removeprefix(_BOM), file, lenient)
    if not text.strip():
        raise DataError("the file is empty", where=str(file), fix="one row a line (JSONL, CSV), or a list of rows (JSON)")
    return text


def _decoded(raw: bytes, file: Path, lenient: bool, offset: int = 0) -> str:
    """The text of some bytes of a file that begin at an offset in it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text (byte {offset + error.start})", where=str(file), fix="save the file as UTF-8") from error
    if "\0" in text and not lenient:
        raise DataError(
            f"NUL byte in the text (byte {offset + raw.index(0)})", where=str(file), fix="save the file as UTF-8 text"
        ) from None
    return text


def _jsonl(file: Path, lenient: bool) -> Table:
    return Table((), _lines(file, lenient))


def _lines(file: Path, lenient: bool) -> Iterator[Row]:
    offset = 0
    with _open(file) as stream:
        for number, raw in enumerate(stream, start=1):
            line = _decoded(raw.removeprefix(_BOM) if number == 1 else raw, file, lenient, offset)
            offset += len(raw)
            if line.strip():
                yield _object(_parsed(line, file, number), f"{file}, line {number}", number)


def _json(file: Path, lenient: bool) -> Table:
    text = _whole(file, lenient)
    if _is_lines(text):
        return _jsonl(file, lenient)
    content = _parsed(text, file, 1)
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        found = f"an object with {', '.join(map(str, content))}" if isinstance(content, dict) else _kind(content)
        raise DataError(f"holds {found}, not rows", where=str(file), fix='a list of rows, or {"data": [rows]}')
    return Table((), (_object(row, f"{file}, row {number}", number) for number, row in enumerate(rows, start=1)))


def _is_lines(text: str) -> bool:
    """Whether a .json file holds one object a line, as the hub's often do."""
    first, _, rest = text.lstrip().partition("\n")
    if not rest.strip():
        return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _parsed(text: str, file: Path, line: int) -> Any:
    """JSON from text that begins on a line of a file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"not valid JSON: {error.msg} (column {error.colno})", where=f"{file}, line {line + error.lineno - 1}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"not readable JSON: {error}", where=f"{file}, line {line}") from error


_KINDS_OF_JSON = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "an object"}


def _kind(value: Any) -> str:
    """What JSON calls a value."""
    return _KINDS_OF_JSON.get(type(value), "a number")


def _object(row: Any, where: str, record: int) -> Row:
    if not isinstance(row, dict):
        raise DataError(f"is {_kind(row)}, not an object", where=where, fix='one object a row, e.g. {"prompt": …, "response": …}')
    return Row(row, where, record)


_STATED = re.compile(r'"?sep=(.)"?(\r?\n)', re.IGNORECASE)
"""The first line of a sheet that Excel wrote, or is to read: what stands between its cells."""


def csv_table(file: Path, lenient: bool) -> Table:
    """A CSV file; ``lenient``: as the second argument of ``READERS``."""
    csv.field_size_limit(_CELL)
    text = _whole(file, lenient)
    stated = _STATED.match(text)
    text = text[stated.start(2) :] if stated else text  # its line stays, empty, so that others keep their numbers
    separator = stated[1] if stated else separator_of(text, kind_of_file(file))
    records = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] = []
    try:
        header = next((cells for cells in records if cells), [])
    except csv.Error as error:
        raise DataError(f"not valid CSV: {error}", where=f"{file}, line {records.line_num}") from error
    if doubled := sorted({name for name in header if header.count(name) > 1}):
        raise DataError(f"two columns are called {doubled[0]!r}", where=f"{file}, header")
    return Table(tuple(header), _cells(file, header, records, lenient))


def _cells(file: Path, header: list[str], records: Any, lenient: bool) -> Iterator[Row]:
    number = 0
    try:
        for record, cells in enumerate(records, start=2):
            if not cells and not lenient:
                continue
            number += 1
            where = f"{file}, row {number} (to line {records.line_num})"
            if len(cells) > len(header) or (len(cells) < len(header) and not lenient):
                fix = "quote cells that hold commas, quotes or line breaks"
                raise DataError(f"{len(cells)} cells under {len(header)} columns", where=where, fix=fix)
            yield Row(dict(zip(header, cells, strict=False)), where, record)
    except csv.Error as error:
        raise DataError(f"not valid CSV: {error}", where=f"{file}, line {records.line_num}") from error


def _parquet(file: Path, lenient: bool) -> Table:
    return Table((), _batches(file))


def _batches(file: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield Row(row, f"{file}, row {number}", number)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"not a readable Parquet file: {error}", where=str(file)) from error


READERS: Mapping[str, Callable[[Path, bool], Table]] = MappingProxyType(
    {".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".csv": csv_table, ".tsv": csv_table, ".parquet": _parquet}
)
"""By ending; the second argument is whether NUL bytes, empty lines and rows of too few cells are let through."""
KINDS = tuple(READERS)
"""Endings of files that are read."""
