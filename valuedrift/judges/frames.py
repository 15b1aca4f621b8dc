"""Pairs from files of any kind, judgements as frames, and frames to Parquet, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from valuedrift.atomic import put_in_place, written_aside
from valuedrift.errors import UserError
from valuedrift.judges.base import Judgement, Pair
from valuedrift.stance import STANCE_COLUMNS, JudgeStatus
from valuedrift.tabular import read_frame


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file with the columns prompt and response; ``id`` is the row's own, or its number from 0.

    Raises:
        UserError, DataError: See :func:`valuedrift.tabular.read_frame`.
    """
    frame = read_frame(path, ("prompt", "response"))
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
    """Write Parquet; a reader sees the old file or the whole new one.

    Raises:
        UserError: The folder does not exist or cannot be written.
    """
    try:
        with written_aside(path) as aside:
            frame.write_parquet(aside, compression="zstd")
            put_in_place(aside, path)
    except OSError as error:
        raise UserError(
            f"cannot write: {error.strerror or error}", where=str(path), fix="give a path in a folder that exists and has room"
        ) from error
