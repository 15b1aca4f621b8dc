"""Tables in files: JSONL, JSON, CSV (each also gzipped) and Parquet, row by row and with the place of each row; no type is guessed.

CSV has no types, so every cell is text as it is written: ``01``, ``1`` and ``1.0`` are three values. JSON and Parquet keep theirs. A path is one file,
also if it has brackets or stars in its name. How each kind is read stands in ``formats``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from valuedrift.errors import DataError, UserError
from valuedrift.tabular.formats import KINDS, READERS, Row, Table, csv_table, kind_of_file, reading, separator_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["KINDS", "Row", "Table", "kind_of_file", "read_csv", "read_frame", "read_rows", "separator_of"]

_AS_THEY_ARE: Mapping[str, str] = MappingProxyType({})


def read_rows(file: Path) -> Iterator[Row]:
    """The rows of a file, in its order.

    Args:
        file: Of a kind in ``KINDS``, by its name; the text ones also with ``.gz``.

    Raises:
        UserError: No such file; no known kind of file.
        DataError: A file that is empty or can't be read to its end; says where.
    """
    reader = READERS.get(kind_of_file(file))
    if not file.exists():
        raise UserError("no such file", where=str(file), fix=_nearest(file))
    if reader is None:
        raise UserError(
            f"unknown kind of file {file.suffix!r}", where=str(file), fix=f"known: {', '.join(KINDS)}, and .gz of the text ones"
        )
    with reading(file):
        yield from reader(file, False).rows


def read_csv(file: Path) -> Table:
    """A CSV file of any name, in which cells at the end of a row may lack; an empty line is a row without any.

    Raises:
        UserError: No such file.
        DataError: A file that is empty or can't be read to its end; says where.
    """
    if not file.is_file():
        raise UserError("no such file", where=str(file))
    with reading(file):
        return csv_table(file, True)


def read_frame(
    file: Path,
    texts: Iterable[str],
    *,
    optional: Iterable[str] = (),
    lists: Iterable[str] = (),
    columns: Mapping[str, str] = _AS_THEY_ARE,
) -> pl.DataFrame:
    """A file as a frame.

    Args:
        file: Of a kind in ``KINDS``, by its name; the text ones also with ``.gz``.
        texts: Columns that it must have; these are returned as text, what is missing as the empty text. Of others those of CSV are text, too.
            An empty line of CSV is a row without any value.
        optional: Columns that are text too, if it has them; there what is missing is null.
        lists: Columns that may hold lists and objects, which are given as their JSON; where they are missing nothing is said.
        columns: What columns are to be called, to their names in the file; one that was called so is left out.

    Raises:
        UserError: There is no such file, its kind is unknown, or ``columns`` names what is not there.
        DataError: It is empty, unreadable, or lacks a column.
    """
    import polars as pl

    needed, also = list(texts), list(optional)
    as_text = frozenset(columns.get(name, name) for name in (*needed, *also))
    nesting = frozenset(columns.get(name, name) for name in lists)
    kind = kind_of_file(file)
    if kind not in READERS:
        raise UserError(f"unknown kind of file {file.suffix!r}", where=str(file), fix=f"one of {', '.join(KINDS)}")
    if not file.is_file():
        raise UserError("no such file", where=str(file), fix=_nearest(file))
    if not file.stat().st_size:
        raise DataError("unreadable: the file is empty", where=str(file))
    try:
        frame = pl.read_parquet(file, hive_partitioning=False, glob=False) if kind == ".parquet" else _frame(file, kind, as_text, nesting)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"unreadable: {str(error).strip().splitlines()[0]}", where=str(file), fix="Parquet") from error
    except DataError as error:
        raise DataError(f"unreadable: {error.what}", where=error.where, fix=error.fix) from error
    as_json = [_series(name, frame.get_column(name).to_list(), as_text, nesting) for name in nesting if name in frame.columns]
    frame = _renamed(frame.with_columns(*as_json), columns, file)
    if missing := [name for name in needed if name not in frame.columns]:
        raise DataError(f"missing column {', '.join(missing)}", where=str(file), fix=f"found: {', '.join(frame.columns)}")
    if nested := [name for name in needed if frame.schema[name].is_nested()]:
        raise DataError(f"column {nested[0]} holds {frame.schema[nested[0]]}, not text", where=str(file))
    flat = [name for name in also if name in frame.columns and not frame.schema[name].is_nested()]
    return frame.with_columns(pl.col(flat).cast(pl.String)).with_columns(pl.col(needed).cast(pl.String).fill_null(""))


def _renamed(frame: pl.DataFrame, columns: Mapping[str, str], file: Path) -> pl.DataFrame:
    """The frame with columns called otherwise; the others keep their names, but for those whose names are taken."""
    import polars as pl

    for theirs in columns.values():
        if theirs not in frame.columns:
            near = get_close_matches(theirs, frame.columns, n=1)
            fix = f"did you mean {near[0]!r}?" if near else f"found: {', '.join(frame.columns)}"
            raise UserError(f"columns: {theirs!r} is no column in the data", where=str(file), fix=fix)
    kept = [name for name in frame.columns if name not in columns and name not in columns.values()]
    return frame.select(*kept, *(pl.col(theirs).alias(name) for name, theirs in columns.items()))


def _frame(file: Path, kind: str, texts: frozenset[str], nesting: frozenset[str]) -> pl.DataFrame:
    import polars as pl

    with reading(file):
        table = READERS[kind](file, True)
        rows = [row.values for row in table.rows]
    names = dict.fromkeys(table.columns) | dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([_series(name, [row.get(name) for row in rows], texts, nesting) for name in names])


def _series(name: str, values: list[Any], texts: frozenset[str], nesting: frozenset[str]) -> pl.Series:
    """A column of the type of its values; as text if it is one of ``texts``, has several types, or where lists are given as their JSON."""
    import polars as pl

    types = {type(value) for value in values if value is not None}
    nested = types <= {list, dict} and bool(types)
    if nested and name not in nesting and (made := pl.Series(name, values, strict=False)).dtype != pl.Object:
        return made
    as_written = name in texts and not types & {list, dict}
    if types <= {str} or as_written or nested or name in nesting or (len(types) > 1 and not types <= {int, float}):
        return pl.Series(name, [None if value is None else _text(value) for value in values], dtype=pl.String)
    return pl.Series(name, values, strict=False)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text


def _nearest(file: Path) -> str:
    if not file.parent.is_dir():
        return f"there is no folder {file.parent} either"
    near = get_close_matches(file.name, [other.name for other in file.parent.iterdir()], n=1)
    return f"did you mean {file.parent / near[0]}?" if near else "give the path of a data file"
