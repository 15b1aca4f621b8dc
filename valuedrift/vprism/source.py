"""The prompts that probes are made of: one column of any CSV, JSONL or Parquet file."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from valuedrift.errors import DataError, UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.files import read_table


@dataclass(frozen=True, slots=True)
class Source:
    """A file of prompts."""

    ids: list[str]
    """One for each prompt, distinct: of the id column, else the row's number from 1."""
    prompts: list[str]

    @property
    def fingerprint(self) -> str:
        """Content hash of ids and prompts, in the order of the file."""
        return fingerprint([self.ids, [prompt.encode("utf-8", "replace").decode() for prompt in self.prompts]])


def read_source(path: Path, column: str, id_column: str | None = None) -> Source:
    """Read the prompts of a file.

    Args:
        path: .csv, .jsonl or .parquet.
        column: Column with the prompts.
        id_column: Column that identifies a row; the row's number from 1 where there is none.

    Raises:
        UserError: No such file, kind of file or column.
        DataError: The file is empty or unreadable, or an id is empty or there twice.
    """
    needed = [column] if id_column is None else list(dict.fromkeys([column, id_column]))
    try:
        frame = read_table(path, needed)
    except DataError as error:
        raise _nearest(error, path, needed) from error
    if not frame.height:
        raise DataError("no prompts in it", where=str(path), fix="a header and one prompt a row")
    ids = frame.get_column(id_column).to_list() if id_column else [str(row) for row in range(1, frame.height + 1)]
    if id_column:
        _check_ids(ids, path, id_column)
    return Source(ids, frame.get_column(column).to_list())


def _check_ids(ids: list[str], path: Path, column: str) -> None:
    blank = next((row for row, one in enumerate(ids, start=1) if not one.strip()), None)
    if blank is not None:
        raise DataError(f"{column} is empty", where=f"{path}, row {blank}", fix="every row needs an id, or leave out --id-column")
    doubled = pl.Series(ids).filter(pl.Series(ids).is_duplicated())
    if len(doubled):
        raise DataError(
            f"{column} {doubled[0]!r} is there more than once", where=str(path), fix="ids must be distinct, or leave out --id-column"
        )


def _nearest(error: DataError, path: Path, needed: list[str]) -> UserError:
    if not error.what.startswith("missing column"):
        return error
    known = (error.fix or "").removeprefix("found: ").split(", ")
    near = [match for name in needed if name not in known for match in get_close_matches(name, known, n=1)]
    return DataError(error.what, where=str(path), fix=f"did you mean {near[0]!r}? {error.fix}" if near else error.fix)
