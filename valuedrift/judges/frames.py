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

NAMES = ("study", "run_id", "topic", "probe_set", "prompt_id", "pair_id")
NUMBERS = ("step", "sample_idx", "polarity")
"""Columns of answers that a judgement of them keeps, so that a stance table can be analyzed: names, and whole numbers."""


def read_answers(path: Path) -> pl.DataFrame:
    """Answers of a file with the columns prompt and response.

    Returns:
        id (the row's own, or its number from 0), prompt, response; of ``NAMES`` and ``NUMBERS`` what the file has, numbers that are none as they are.

    Raises:
        UserError, DataError: See :func:`valuedrift.tabular.read_frame`.
    """
    frame = read_frame(path, ("prompt", "response"), optional=("id", *NAMES))
    if "id" not in frame.columns:
        frame = frame.with_columns(id=pl.int_range(frame.height).cast(pl.String))
    kept = frame.select("id", "prompt", "response", *(name for name in (*NAMES, *NUMBERS) if name in frame.columns))
    whole = kept.with_columns(pl.col(name).cast(pl.Int64, strict=False) for name in NUMBERS if name in kept.columns)
    return kept.with_columns(whole.get_column(name) for name in NUMBERS if name in kept.columns and _same(kept[name], whole[name]))


def _same(written: pl.Series, whole: pl.Series) -> bool:
    """Whether nothing was lost when numbers were read as whole ones."""
    as_text = written.cast(pl.String).str.strip_suffix(".0")
    return bool((as_text.eq_missing(whole.cast(pl.String))).all())


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file, see :func:`read_answers`."""
    return pairs_of(read_answers(path))


def pairs_of(answers: pl.DataFrame) -> list[Pair]:
    """The pairs of answers as :func:`read_answers` gives them."""
    texts = answers.select("id", "prompt", "response").iter_rows()
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
