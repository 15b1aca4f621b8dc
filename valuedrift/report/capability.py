"""Drift and change of ability side by side: of each run what moved of its values, and what it gained or lost on each task."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from valuedrift.report.inputs import ReportInputs
from valuedrift.words import counted, plain, signed, signed_interval

_KEYS = ["run_id", "task", "subtask", "metric"]


@dataclass(frozen=True, slots=True)
class AbilityRow:
    """One score of one run, as text."""

    name: str
    metric: str
    before: str
    after: str
    change: str
    spread: str
    moved: bool
    worse: bool
    q: str
    turned: str
    """How many items turned right and wrong."""


@dataclass(frozen=True, slots=True)
class AbilityRun:
    """One run: what it did to values, and to abilities."""

    title: str
    steps: str
    drift: str
    abilities: str
    rows: tuple[AbilityRow, ...]


def abilities(inputs: ReportInputs) -> list[AbilityRun]:
    """What is told of each run that tasks were put to; none where the study names no tasks."""
    scores = inputs.read("capabilities")
    if not scores.height:
        return []
    changes = inputs.read("capability_changes")
    found = []
    for run in inputs.lineage.runs:
        mine = scores.filter(run_id=run.run_id)
        if mine.height:
            found.append(_run(inputs, run.run_id, run.title, mine, changes.filter(run_id=run.run_id) if changes.height else changes))
    return found


def _run(inputs: ReportInputs, run_id: str, title: str, scores: pl.DataFrame, changes: pl.DataFrame) -> AbilityRun:
    steps = scores.get_column("step").unique().sort().to_list()
    first, last = int(steps[0]), int(steps[-1])
    rows = [_changed(inputs, row) for row in changes.sort(_KEYS).iter_rows(named=True)] if changes.height else []
    told = changes.select(_KEYS) if changes.height else pl.DataFrame(schema=dict.fromkeys(_KEYS, pl.String))
    others = scores.filter(pl.col("step") == last, pl.col("subtask") == pl.col("task")).join(told, on=_KEYS, how="anti")
    rows += [_scored(row) for row in others.sort(_KEYS).iter_rows(named=True)]
    moved = [row for row in rows if row.moved]
    if not any(row.change for row in rows):
        abilities = "put to one checkpoint: nothing to compare" if first == last else "no score that is a mean over items"
    elif moved:
        abilities = f"{len(moved)} of {counted(len(rows), 'score')} changed: " + "; ".join(
            f"{row.name} {row.metric} {row.change}" for row in moved[:3]
        )
    else:
        abilities = f"none of {counted(len(rows), 'score')} changed by more than noise"
    tested = f"step {first}" if first == last else f"steps {first} to {last}"
    return AbilityRun(title, tested, _drift(inputs, run_id), abilities, tuple(rows))


def _drift(inputs: ReportInputs, run_id: str) -> str:
    """The drift of a run in a sentence: how many stances moved, and which most."""
    mine = inputs.main_drift.filter(run_id=run_id) if inputs.main_drift.height else inputs.main_drift
    if not mine.height:
        return "no drift was computed"
    moved = mine.filter(pl.col("q") < inputs.alpha)
    if not moved.height:
        return f"none of {counted(mine.height, 'drift')} is more than noise"
    top = moved.sort(pl.col("magnitude").abs(), descending=True).row(0, named=True)
    spread = signed_interval(top["magnitude_low"], top["magnitude_high"])
    return f"{moved.height} of {counted(mine.height, 'drift')} moved; most: {top['stance']} on {top['topic']} {signed(top['magnitude'])} {spread}"


def _changed(inputs: ReportInputs, row: dict[str, object]) -> AbilityRow:
    change, q = float(str(row["change"])), row["q_value"]
    moved = isinstance(q, float) and q < inputs.alpha
    better = row["higher_is_better"] is not False
    turned = "" if row["n_gained"] is None else f"{row['n_gained']} right, {row['n_lost']} wrong of {row['n_items']}"
    return AbilityRow(
        name=_name(row),
        metric=str(row["metric"]),
        before=_plain(row["score_from"]),
        after=_plain(row["score_to"]),
        change=signed(change),
        spread=signed_interval(_number(row["change_low"]), _number(row["change_high"])),
        moved=moved,
        worse=moved and (change < 0) == better,
        q="" if not isinstance(q, float) else f"{q:.3f}",
        turned=turned or f"of {row['n_items']}",
    )


def _scored(row: dict[str, object]) -> AbilityRow:
    error = "" if row["standard_error"] is None else f" ± {_plain(row['standard_error'])}"
    return AbilityRow(
        _name(row), str(row["metric"]), "", f"{_plain(row['score'])}{error}", "", "", False, False, "", f"of {row['n_items']}"
    )


def _name(row: dict[str, object]) -> str:
    return str(row["task"]) if row["subtask"] == row["task"] else f"{row['task']}: {row['subtask']}"


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value


def _plain(value: object) -> str:
    return plain(_number(value), 3)
