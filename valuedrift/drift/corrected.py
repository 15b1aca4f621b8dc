"""The drift table once more, with the judge's errors in its estimates and intervals, where labels allow it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from valuedrift.drift.cells import Array, Cell, cells
from valuedrift.drift.check import check_stances
from valuedrift.drift.options import Analysis, Towards
from valuedrift.drift.powered import Corrected, Labels, by_cell, by_study, enough, pooled_error
from valuedrift.drift.prompt_means import prompt_means
from valuedrift.errors import DataError
from valuedrift.labels.settle import ANSWER, SAID
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "run_id": pl.String,
    "topic": pl.String,
    "stance": pl.String,
    "from_step": pl.Int64,
    "to_step": pl.Int64,
    "magnitude": pl.Float64,
    "magnitude_low": pl.Float64,
    "magnitude_high": pl.Float64,
    "level": pl.String,
    "tuning": pl.Float64,
    "n_labels": pl.Int32,
    "n_prompts": pl.Int32,
}


def corrected(
    stances: pl.DataFrame, labelled: pl.DataFrame, options: Analysis, *, where: str | None = None
) -> tuple[pl.DataFrame, list[str]]:
    """Drift magnitudes of one judge from first to last checkpoint, corrected by labels.

    Args:
        stances: Rows of one judge of one study, as `valuedrift.drift.analyze.analyze` takes them.
        labelled: Labelled answers at every place where they stand, with this judge's stances of them: run_id, step, topic, probe_set, prompt_id,
            sample_idx, response, p_*, status, said_*, weight.
        options: Confidence of the intervals.
        where: For messages.

    Returns:
        Columns of ``SCHEMA``: ``level`` is cell (own labels, no assumption but the draw) or study (labels of the whole study by stance: the judge errs alike on
        answers of one stance before and after); ``tuning`` is λ at the level cell. And notes: what was left out and why.

    Raises:
        DataError: Stance is asked for towards the proposition, or see `valuedrift.drift.check.check_stances`.
    """
    if options.towards is Towards.PROPOSITION:
        raise DataError("drift is corrected towards the question only", where=where, fix="towards: question")
    check_stances(stances.lazy(), where=where)
    means = prompt_means(stances.lazy(), where=where)
    usable = labelled.filter((pl.col("status") == JudgeStatus.OK.value) & pl.col(SAID[0]).is_not_null())
    number = {name: place for place, name in enumerate(sorted({*_names(means), *_names(usable)}))}
    study = _labels(usable.unique(ANSWER, keep="first", maintain_order=True), number)
    fault = pooled_error(study) if usable.height else "nothing is labelled"
    ends = usable.join(
        means.select("run_id", "step", "topic", "probe_set", "prompt_id", "n_ok"), on=["run_id", "step", "topic", "probe_set", "prompt_id"]
    )
    own = ends.with_columns(weight=pl.col("weight") / pl.col("n_ok")).partition_by("run_id", "topic", as_dict=True)
    rows, lacking = [], 0
    for cell, before, after, names in _paired(means):
        found = _found(
            cell,
            before,
            after,
            names,
            own.get((cell.keys["run_id"], cell.keys["topic"])),
            study if fault is None else None,
            number,
            options,
        )
        if found is None:
            lacking += 1
            continue
        ci = found.interval
        for s, stance in enumerate(STANCES):
            numbers = (float(ci.estimate[s]), float(ci.low[s]), float(ci.high[s]))
            tuning = None if np.isnan(found.tuning) else found.tuning
            keys = (cell.keys["run_id"], cell.keys["topic"], stance.value, int(cell.steps[0]), int(cell.steps[-1]))
            rows.append((*keys, *numbers, found.level, tuning, found.n_labels, len(before)))
    notes = [f"{lacking} (run, topic) cells are not corrected: {fault}"] if lacking else []
    return pl.DataFrame(rows, schema=SCHEMA, orient="row"), notes


def _found(
    cell: Cell,
    before: Array,
    after: Array,
    names: list[str],
    own: pl.DataFrame | None,
    study: Labels | None,
    number: dict[str, int],
    options: Analysis,
) -> Corrected | None:
    if own is not None:
        place = {name: row for row, name in enumerate(names)}
        at = own.filter(pl.col("step").is_in([int(cell.steps[0]), int(cell.steps[-1])]))
        at = at.filter(pl.Series([name in place for name in _names(at)], dtype=pl.Boolean))
        labels = _labels(at, place, last=int(cell.steps[-1]))
        if enough(labels):
            return by_cell(before, after, labels, options.confidence)
    if study is None:
        return None
    return by_study(before, after, np.array([number[name] for name in names], dtype=np.int64), study, options.confidence)


def _paired(means: pl.DataFrame) -> Iterator[tuple[Cell, Array, Array, list[str]]]:
    """Cells with two checkpoints, and the prompt means at both ends of prompts that are judged at both, two or more."""
    for cell in cells(means):
        before, after = cell.values[:, 0], cell.values[:, -1]
        kept = np.asarray(~np.isnan(after - before).any(axis=1))
        if len(cell.steps) > 1 and kept.sum() > 1:
            yield cell, before[kept], after[kept], [name for name, paired in zip(cell.prompts, kept, strict=True) if paired]


def _names(frame: pl.DataFrame) -> list[str]:
    """Prompts as cells name them."""
    return [f"{probe_set}\x1f{prompt}" for probe_set, prompt in frame.select("probe_set", "prompt_id").iter_rows()]


def _labels(frame: pl.DataFrame, number: dict[str, int], last: int | None = None) -> Labels:
    return Labels(
        said=frame.select(SAID).to_numpy(),
        judged=frame.select(STANCE_COLUMNS).to_numpy(),
        weight=frame["weight"].to_numpy(),
        prompt=np.array([number[name] for name in _names(frame)], dtype=np.int64),
        last=(frame["step"] == last).to_numpy() if last is not None else np.zeros(frame.height, dtype=bool),
    )
