"""Tables in files: JSONL, JSON, CSV (each also gzipped) and Parquet, row by row and with the place of each row; no type is guessed.

CSV has no types, so every cell is text as it is written: ``01``, ``1`` and ``1.0`` are three values. JSON and Parquet keep theirs. A path is one file,
also if it has brackets or stars in its name.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from valuedrift.errors import DataError, UserError

if TYPE_CHECKING:
    import polars as pl

_CELL = 1 << 30
"""Longest CSV cell, in characters: the csv module's own limit of 128 KiB is shorter than a long conversation."""
_BATCH = 1024
_BOM = b"\xef\xbb\xbf"
_SEPARATORS = ",;\t"
"""What stands between cells: a comma, or what spreadsheets write where the comma is in numbers."""
_HEADER = 1 << 20
"""Characters in which a header is looked for."""


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


def read_rows(file: Path) -> Iterator[Row]:
    """The rows of a file, in its order.

    Args:
        file: Of a kind in ``KINDS``, by its name; the text ones also with ``.gz``.

    Raises:
        UserError: No such file; no known kind of file.
        DataError: A file that is empty or can't be read to its end; says where.
    """
    reader = _READERS.get(kind_of_file(file))
    if not file.exists():
        raise UserError("no such file", where=str(file), fix=_nearest(file))
    if reader is None:
        raise UserError(
            f"unknown kind of file {file.suffix!r}", where=str(file), fix=f"known: {', '.join(KINDS)}, and .gz of the text ones"
        )
    with _reading(file):
        yield from reader(file, False).rows


def read_csv(file: Path) -> Table:
    """A CSV file of any name, in which cells at the end of a row may lack; an empty line is a row without any.

    Raises:
        UserError: No such file.
        DataError: A file that is empty or can't be read to its end; says where.
    """
    if not file.is_file():
        raise UserError("no such file", where=str(file))
    with _reading(file):
        return _csv(file, True)


def read_frame(file: Path, texts: Iterable[str], *, lists: Iterable[str] = ()) -> pl.DataFrame:
    """A file as a frame.

    Args:
        file: Of a kind in ``KINDS``, by its name; the text ones also with ``.gz``.
        texts: Columns that it must have; these are returned as text, what is missing as the empty text. Of others those of CSV are text, too.
            An empty line of CSV is a row without any value.
        lists: Columns that may hold lists and objects, which are given as their JSON; where they are missing nothing is said.

    Raises:
        UserError: There is no such file, or its kind is unknown.
        DataError: It is empty, unreadable, or lacks a column.
    """
    import polars as pl

    needed, nesting = list(texts), frozenset(lists)
    kind = kind_of_file(file)
    if kind not in _READERS:
        raise UserError(f"unknown kind of file {file.suffix!r}", where=str(file), fix=f"one of {', '.join(KINDS)}")
    if not file.is_file():
        raise UserError("no such file", where=str(file), fix=_nearest(file))
    if not file.stat().st_size:
        raise DataError("unreadable: the file is empty", where=str(file))
    try:
        frame = pl.read_parquet(file, hive_partitioning=False, glob=False) if kind == ".parquet" else _frame(file, kind, nesting)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"unreadable: {str(error).strip().splitlines()[0]}", where=str(file), fix="Parquet") from error
    except DataError as error:
        raise DataError(f"unreadable: {error.what}", where=error.where, fix=error.fix) from error
    if missing := [name for name in needed if name not in frame.columns]:
        raise DataError(f"missing column {', '.join(missing)}", where=str(file), fix=f"found: {', '.join(frame.columns)}")
    if nested := [name for name in needed if frame.schema[name].is_nested()]:
        raise DataError(f"column {nested[0]} holds {frame.schema[nested[0]]}, not text", where=str(file))
    as_json = [_series(name, frame.get_column(name).to_list(), nesting) for name in nesting if name in frame.columns]
    return frame.with_columns(*as_json, *(pl.col(name).cast(pl.String).fill_null("") for name in needed))


def kind_of_file(file: Path) -> str:
    """The ending that says how a file is read, in small letters and without ``.gz``."""
    return Path(file.name.lower().removesuffix(".gz")).suffix


def separator_of(text: str) -> str:
    """What stands between the cells of a CSV file: what gives its header the most columns.

    Args:
        text: Its beginning, with the whole header.
    """

    def columns(separator: str) -> int:
        try:
            records = csv.reader(io.StringIO(text[:_HEADER], newline=""), delimiter=separator, strict=True)
            return len(next((cells for cells in records if cells), []))
        except csv.Error:
            return 0

    return max(_SEPARATORS, key=columns)


def _frame(file: Path, kind: str, nesting: frozenset[str]) -> pl.DataFrame:
    import polars as pl

    with _reading(file):
        table = _READERS[kind](file, True)
        rows = [row.values for row in table.rows]
    names = dict.fromkeys(table.columns) | dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([_series(name, [row.get(name) for row in rows], nesting) for name in names])


def _series(name: str, values: list[Any], nesting: frozenset[str]) -> pl.Series:
    """A column of the type of its values; of several types, or where lists are given as their JSON, as text."""
    import polars as pl

    types = {type(value) for value in values if value is not None}
    if types <= {list, dict} and types and name not in nesting:
        return pl.Series(name, values, strict=False)
    if types <= {str} or name in nesting or (len(types) > 1 and not types <= {int, float}):
        return pl.Series(name, [None if value is None else _text(value) for value in values], dtype=pl.String)
    return pl.Series(name, values, strict=False)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Tells what goes wrong in reading a file as an error for users."""
    if not file.stat().st_size:
        raise DataError("the file is empty", where=str(file), fix="one row a line (JSONL, CSV), or a list of rows (JSON)")
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"not a whole gzip file: {error}", where=str(file)) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(file)) from error


def _nearest(file: Path) -> str:
    if not file.parent.is_dir():
        return f"there is no folder {file.parent} either"
    near = get_close_matches(file.name, [other.name for other in file.parent.iterdir()], n=1)
    return f"did you mean {file.parent / near[0]}?" if near else "give the path of a data file"


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
        found = f"an object with {', '.join(map(str, content))}" if isinstance(content, dict) else type(content).__name__
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


def _object(row: Any, where: str, record: int) -> Row:
    if not isinstance(row, dict):
        raise DataError(f"is {type(row).__name__}, not an object", where=where, fix='one object a row, e.g. {"prompt": …, "response": …}')
    return Row(row, where, record)


def _csv(file: Path, lenient: bool) -> Table:
    csv.field_size_limit(_CELL)
    text = _whole(file, lenient)
    records = csv.reader(io.StringIO(text, newline=""), delimiter=separator_of(text), strict=True)
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


_READERS: Mapping[str, Callable[[Path, bool], Table]] = MappingProxyType(
    {".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
)
"""By ending; the second argument is whether NUL bytes, empty lines and rows of too few cells are let through."""
KINDS = tuple(_READERS)
"""Endings of files that are read."""
