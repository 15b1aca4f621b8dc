"""Reading rows from local files: JSONL, JSON, CSV (each also gzipped) and Parquet; streamed where the format allows it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from valuedrift.corpora.record import Record, message_keys
from valuedrift.errors import DataError, UserError

_CELL = 1 << 30
"""Longest CSV cell, in characters: the csv module's own limit of 128 KiB is shorter than a long conversation."""
_BATCH = 1024
_BOM = b"\xef\xbb\xbf"


def read_files(path: Path, split: str) -> Iterator[Record]:
    """The rows of a file, or of all files of one split in a folder.

    Args:
        path: A file or a folder.
        split: Of a folder, files named SPLIT.* or SPLIT-* or SPLIT_* are read, in the folder itself or in ``data`` below it, in name order.

    Raises:
        UserError: No such file; no known kind of file.
        DataError: A file that can't be read to its end; says where.
    """
    files = _of_split(path, split) if path.is_dir() else [path]
    for file in files:
        yield from _read_file(file)


def _of_split(folder: Path, split: str) -> list[Path]:
    known = sorted(file for place in (folder, folder / "data") for file in place.glob("*") if _reader(file) is not None)
    chosen = [file for file in known if file.name.startswith((f"{split}.", f"{split}-", f"{split}_"))]
    if not chosen:
        found = ", ".join(file.name for file in known[:8]) or "no data files"
        raise UserError(f"no file of the split {split!r} in this folder", where=str(folder), fix=f"found: {found}; give `split`, or a file")
    if len({_kind(file) for file in chosen}) > 1:
        names = ", ".join(file.name for file in chosen[:8])
        raise UserError(f"the split {split!r} is there in more than one file format", where=str(folder), fix=f"give one of: {names}")
    return chosen


def _kind(file: Path) -> str:
    return Path(file.name.lower().removesuffix(".gz")).suffix


def _reader(file: Path) -> Callable[[Path], Iterator[Record]] | None:
    return _READERS.get(_kind(file))


def _read_file(file: Path) -> Iterator[Record]:
    reader = _reader(file)
    if not file.exists():
        raise UserError("no such file", where=str(file), fix=_nearest(file))
    if reader is None:
        raise UserError(
            f"unknown kind of file {file.suffix!r}", where=str(file), fix=f"known: {', '.join(_READERS)}, and .gz of the text ones"
        )
    if not file.stat().st_size:
        raise DataError("the file is empty", where=str(file), fix="one row a line (JSONL, CSV), or a list of rows (JSON)")
    try:
        yield from reader(file)
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


def _decoded(raw: bytes, file: Path, offset: int = 0) -> str:
    """The text of some bytes of a file that begin at an offset in it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text (byte {offset + error.start})", where=str(file), fix="save the file as UTF-8") from error
    if "\0" in text:
        raise DataError(
            f"NUL byte in the text (byte {offset + raw.index(0)})", where=str(file), fix="save the file as UTF-8 text"
        ) from None
    return text


def _jsonl(file: Path) -> Iterator[Record]:
    offset = 0
    with _open(file) as stream:
        for number, raw in enumerate(stream, start=1):
            line = _decoded(raw.removeprefix(_BOM) if number == 1 else raw, file, offset)
            offset += len(raw)
            if line.strip():
                yield _object(_parsed(line, file, number), f"{file}, line {number}")


def _json(file: Path) -> Iterator[Record]:
    with _open(file) as stream:
        text = _decoded(stream.read().removeprefix(_BOM), file)
    if not text.strip():
        raise DataError("the file is empty", where=str(file), fix="a list of rows")
    if _is_lines(text):
        yield from _jsonl(file)
        return
    content = _parsed(text, file, 1)
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        found = f"an object with {', '.join(map(str, content))}" if isinstance(content, dict) else type(content).__name__
        raise DataError(f"holds {found}, not rows", where=str(file), fix='a list of rows, or {"data": [rows]}')
    for number, row in enumerate(rows, start=1):
        yield _object(row, f"{file}, row {number}")


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


def _object(row: Any, where: str) -> Record:
    if not isinstance(row, dict):
        raise DataError(f"is {type(row).__name__}, not an object", where=where, fix='one object a row, e.g. {"prompt": …, "response": …}')
    return Record(row, where)


def _csv(file: Path) -> Iterator[Record]:
    csv.field_size_limit(_CELL)
    with _open(file) as stream:
        text = _decoded(stream.read().removeprefix(_BOM), file)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next((cells for cells in lines if cells), [])
        doubled = sorted({name for name in header if header.count(name) > 1})
        if doubled:
            raise DataError(f"two columns are called {doubled[0]!r}", where=f"{file}, header")
        for number, cells in enumerate((cells for cells in lines if cells), start=1):
            where = f"{file}, row {number} (to line {lines.line_num})"
            if len(cells) != len(header):
                fix = "quote cells that hold commas, quotes or line breaks"
                raise DataError(f"{len(cells)} cells under {len(header)} columns", where=where, fix=fix)
            yield Record({name: _cell(cell) for name, cell in zip(header, cells, strict=True)}, where)
    except csv.Error as error:
        raise DataError(f"not valid CSV: {error}", where=f"{file}, line {lines.line_num}") from error


def _cell(text: str) -> Any:
    """A cell; one that holds a JSON list of messages as that list, which CSV can't hold otherwise."""
    if not text.startswith("[{"):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if all(message_keys(message) is not None for message in value) else text


def _parquet(file: Path) -> Iterator[Record]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield Record(row, f"{file}, row {number}")
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"not a readable Parquet file: {error}", where=str(file)) from error


_READERS: Mapping[str, Callable[[Path], Iterator[Record]]] = MappingProxyType(
    {".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".csv": _csv, ".parquet": _parquet}
)
