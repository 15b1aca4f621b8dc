"""Pairs from CSV, JSONL or Parquet, and judgements to Parquet, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import polars as pl

from valuedrift.errors import DataError, UserError
from valuedrift.judges.base import Judgement, Pair
from valuedrift.stance import STANCE_COLUMNS, JudgeStatus

_READERS: Mapping[str, Callable[[Path], pl.DataFrame]] = MappingProxyType(
    {
        ".parquet": lambda path: pl.read_parquet(path, hive_partitioning=False),
        ".csv": lambda path: pl.read_csv(path, infer_schema=False),
        ".jsonl": lambda path: pl.read_ndjson(path, infer_schema_length=None),
    }
)


def read_table(path: Path, columns: Iterable[str]) -> pl.DataFrame:
    """A file of texts.

    Args:
        path: .csv, .jsonl or .parquet.
        columns: Columns that it must have; these are returned as text, null as the empty text, other columns as they are.

    Raises:
        UserError: There is no such file, or its kind is unknown.
        DataError: It is empty, unreadable, or lacks a column.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"unknown kind of file {path.suffix!r}", where=str(path), fix=f"one of {', '.join(_READERS)}")
    if not path.is_file():
        raise UserError("no such file", where=str(path))
    if not path.stat().st_size:
        raise DataError("the file is empty", where=str(path))
    try:
        frame = reader(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"unreadable: {str(error).strip().splitlines()[0]}", where=str(path), fix="UTF-8 text with a header, or Parquet"
        ) from error
    needed = list(columns)
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise DataError(f"missing column {', '.join(missing)}", where=str(path), fix=f"found: {', '.join(frame.columns)}")
    nested = [name for name in needed if frame.schema[name].is_nested()]
    if nested:
        raise DataError(f"column {nested[0]} holds {frame.schema[nested[0]]}, not text", where=str(path))
    return frame.with_columns(pl.col(name).cast(pl.String).fill_null("") for name in needed)


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file with the columns prompt and response; ``id`` is the row's own, or its number from 0.

    Raises:
        UserError, DataError: See :func:`read_table`.
    """
    frame = read_table(path, ("prompt", "response"))
    ids = frame.get_column("id").cast(pl.String).to_list() if "id" in frame.columns else [str(row) for row in range(frame.height)]
    texts = zip(ids, frame.get_column("prompt"), frame.get_column("response"), strict=True)
    return [Pair(id=str(name), prompt=prompt, response=response) for name, prompt, response in texts]


def judgements_frame(judgements: Sequence[Judgement]) -> pl.DataFrame:
    """Judgements as a frame: p_support, p_neutral, p_oppose, unassigned (float64), status (str)."""
    columns = {name: [getattr(judgement, name) for judgement in judgements] for name in (*STANCE_COLUMNS, "unassigned")}
    statuses = [judgement.status.value for judgement in judgements]
    return pl.DataFrame({**columns, "status": statuses}, schema={**dict.fromkeys(columns, pl.Float64), "status": pl.String})


def judgements_of(frame: pl.DataFrame) -> list[Judgement]:
    """Judgements from a frame with the columns that :func:`judgements_frame` makes."""
    return [
        Judgement(support, neutral, oppose, unassigned, JudgeStatus(status))
        for support, neutral, oppose, unassigned, status in frame.select(*STANCE_COLUMNS, "unassigned", "status").iter_rows()
    ]


def write_whole(frame: pl.DataFrame, path: Path) -> None:
    """Write Parquet under a temporary name beside ``path``, then rename: a reader sees the old file or the whole new one.

    Raises:
        UserError: The folder does not exist or cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            frame.write_parquet(stream, compression="zstd")
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write: {error.strerror or error}", where=str(path), fix="give a path in a folder that exists and has room"
        ) from error
    finally:
        part.unlink(missing_ok=True)
