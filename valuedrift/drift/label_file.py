"""Labels of others for a stance table of others: a file with a row an answer and person, joined by what tells answers apart."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from valuedrift.drift.stance_frame import canonical
from valuedrift.errors import DataError
from valuedrift.labels.people import LABELS, SAID, SHARES, label_of, settled
from valuedrift.stance import STANCE_COLUMNS
from valuedrift.tabular import read_frame
from valuedrift.words import counted

REQUIRED = ("run_id", "step", "prompt_id", "sample_idx", "stance")
_TELLS_APART = ("study", "run_id", "step", "topic", "probe_set", "prompt_id", "sample_idx")
_PEOPLE = "people"
_SHOWN = 5


def read_labels(path: Path) -> pl.DataFrame:
    """A file of labels.

    Args:
        path: CSV, JSONL or Parquet with run_id, step, prompt_id, sample_idx and stance (support, neutral, oppose, refused, unclear; empty is no label); also
            study, topic and probe_set, where these are needed to tell answers apart; labeller, where several people labelled; probability: with which the
            answer was drawn for labelling, where not all had the same.

    Returns:
        These columns, as far as the file has them, with their types; rows with a label only.

    Raises:
        UserError: There is no such file.
        DataError: It is empty, lacks a column, or has a value that cannot be; names the first rows, counted from 1.
    """
    frame = read_frame(path, REQUIRED)
    names = [name for name in (*_TELLS_APART, "labeller") if name in frame.columns]
    whole = [pl.col(name).cast(pl.Int64, strict=False) for name in ("step", "sample_idx")]
    given = frame.with_columns(pl.col(names).cast(pl.String)).with_columns(*whole).with_row_index("row", offset=1)
    given = given.with_columns(said=pl.Series([label_of(text) for text in frame["stance"]], dtype=pl.String))
    given = given.with_columns(
        probability=pl.col("probability").cast(pl.Float64, strict=False) if "probability" in frame.columns else pl.lit(1.0)
    )
    blank = pl.col("stance").str.strip_chars() == ""
    _refuse(given.filter(~blank & pl.col("said").is_null()), "stance", f"is not one of {', '.join(LABELS)}", path)
    for name in ("step", "sample_idx"):
        _refuse(given.filter(pl.col(name).is_null()), name, "is no whole number", path, text=frame[name])
    p = pl.col("probability")
    _refuse(given.filter(p.is_null() | p.is_nan() | (p <= 0) | (p > 1)), "probability", "is not above 0 and at most 1", path)
    kept = given.filter(~blank).with_columns(stance="said")
    if "labeller" not in kept.columns:
        kept = kept.with_columns(labeller=pl.lit(_PEOPLE))
    twice = kept.filter(pl.struct([name for name in names if name != "labeller"] + ["labeller"]).is_duplicated())
    _refuse(twice, "prompt_id", "is of an answer that this labeller labelled twice", path)
    if not kept.height:
        raise DataError("no row has a label", where=str(path), fix=f"the column stance says {', '.join(LABELS)}")
    return kept.select(*names, *(["labeller"] if "labeller" not in names else []), "stance", "probability")


def labelled_rows(stances: pl.LazyFrame, labels: pl.DataFrame, *, where: str) -> tuple[pl.DataFrame, list[str]]:
    """The judged answers that are labelled, as `valuedrift.drift.corrected.corrected` takes them.

    Args:
        stances: A checked stance frame.
        labels: As `read_labels` returns them.
        where: The file of labels, for messages.

    Returns:
        The rows of ``stances`` that have a label, with ``said_*`` and ``weight``; and notes on labels that have no answer.

    Raises:
        DataError: No label is of an answer here, or one is of several; a column that tells them apart is missing then.
    """
    schema = stances.collect_schema()
    by = [name for name in _TELLS_APART if name in labels.columns and name in schema]
    people = _settled(labels, by)
    rows = canonical(stances, schema).join(people.lazy(), on=by).collect()
    once = [*by, *(["judge"] if "judge" in rows.columns else [])]
    if not rows.height:
        raise DataError("no label is of an answer in the stances", where=where, fix=f"{', '.join(by)} must be as they are there")
    several = rows.filter(pl.struct(once).is_duplicated())
    if several.height:
        lacking = [name for name in _TELLS_APART if name in schema and name not in by]
        raise DataError(
            f"a label is of several answers: {dict(zip(by, several.select(by).row(0), strict=True))}",
            where=where,
            fix=f"add the column {' or '.join(lacking)}" if lacking else None,
        )
    lost = people.height - rows.select(by).unique().height
    notes = [f"{lost} of {people.height} labelled answers are not in the stances ({', '.join(by)})"] if lost else []
    labelled_twice = labels.group_by(by).len().filter(pl.col("len") > 1).height
    if labelled_twice:
        notes.append(f"{counted(labelled_twice, 'answer')} with several labels: {SHARES}")
    columns = [name for name in rows.columns if name not in STANCE_COLUMNS]
    return rows.select(*columns, *STANCE_COLUMNS).sort(*once), notes


def _settled(labels: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """What people say of each answer, by the rules of `valuedrift.labels.people.settled`."""
    name = pl.concat_str([pl.col(column).cast(pl.String) for column in by], separator="\x1f")
    named = labels.with_columns(label_id=name, draw=pl.lit(""))
    answers = named.unique("label_id", keep="first", maintain_order=True)
    texts = {column: pl.lit("") for column in ("probe_set", "topic", "prompt", "response")}
    draws = answers.select("draw", "label_id", "probability").with_columns(prompt_id="label_id", **texts)
    found = settled(draws, named.select("draw", "label_id", "labeller", "stance"))
    return (
        answers.select(*by, "label_id")
        .join(found.select("prompt_id", *SAID, "weight"), left_on="label_id", right_on="prompt_id")
        .drop("label_id")
    )


def _refuse(rows: pl.DataFrame, column: str, fault: str, path: Path, text: pl.Series | None = None) -> None:
    """Raise where there are rows at fault."""
    if not rows.height:
        return
    values = [str(text[row - 1]) if text is not None else str(value) for row, value in rows.select("row", column).head(_SHOWN).iter_rows()]
    shown = ", ".join(f"row {row} {value[:40]!r}" for row, value in zip(rows["row"].head(_SHOWN), values, strict=True))
    more = f" and {rows.height - _SHOWN} more" if rows.height > _SHOWN else ""
    raise DataError(f"column {column}: {shown}{more} {fault}", where=str(path))
