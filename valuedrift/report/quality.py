"""How far to trust the numbers: what could not be judged, and how good the judge was measured to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from valuedrift.report.inputs import ReportInputs
from valuedrift.report.lineage import Run
from valuedrift.report.words import MISSING, counted, interval, percent, plain
from valuedrift.stance import STANCES, JudgeStatus

WEAK = 0.75
"""Precision or recall below which one class of answers is named as not to be trusted."""
FEW = 30
"""Examples of a class below which its figures say little."""
_FIGURES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "kappa": "κ"}


@dataclass(frozen=True, slots=True)
class Counts:
    """Judgements of one run by what became of them."""

    run: Run
    ok: int
    refused: int
    unparsed: int
    failed: int
    missing_prompts: int | None
    """Questions without a judged answer, summed over checkpoints; None where it was not counted."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.ok + self.refused + self.unparsed + self.failed

    @property
    def lost(self) -> str:
        """Share that entered no mean."""
        return percent((self.total - self.ok) / self.total) if self.total else MISSING


def count_judgements(inputs: ReportInputs) -> list[Counts]:
    """Judgements by status of every run, from the coverage table or, without one, from the stances."""
    names = [status.value for status in JudgeStatus]
    frame = inputs.coverage
    if frame is not None and frame.height:
        if "judge" in frame.columns:
            frame = frame.filter(pl.col("judge") == inputs.main_judge)
        columns = [pl.col(f"n_{name}").sum().alias(name) for name in names]
        missing = pl.col("missing_prompts").sum() if "missing_prompts" in frame.columns else pl.lit(None)
        table = frame.group_by("run_id").agg(*columns, missing.alias("missing"))
    elif inputs.main_stances.height:
        table = inputs.main_stances.group_by("run_id").agg(
            *((pl.col("status") == name).sum().alias(name) for name in names), pl.lit(None).alias("missing")
        )
    else:
        return []
    rows = {row["run_id"]: row for row in table.iter_rows(named=True)}
    return [Counts(run, *_numbers(rows[run.run_id], names)) for run in inputs.lineage.runs if run.run_id in rows]


def _numbers(row: Mapping[str, int | None], names: list[str]) -> tuple[int, int, int, int, int | None]:
    ok, refused, unparsed, failed = (row[name] or 0 for name in names)
    return ok, refused, unparsed, failed, row["missing"]


@dataclass(frozen=True, slots=True)
class Measured:
    """A judge on one test set."""

    name: str
    data: str
    n: str
    figures: tuple[tuple[str, str, str], ...]
    """Name, value, interval."""
    classes: tuple[tuple[str, str, str, str, str], ...]
    """Stance, precision, recall, F1, n."""
    note: str
    main: bool
    """Whether this judge's numbers are the ones on the page."""


def measured(inputs: ReportInputs) -> list[Measured]:
    """The judges' metrics as text; what was not measured is said to be so."""
    found = []
    for metric in inputs.judge_metrics:
        figures = tuple(
            (
                label,
                plain(metric[key]) if metric.get(key) is not None else "not measured",
                interval(metric.get(f"{key}_low"), metric.get(f"{key}_high")),
            )
            for key, label in _FIGURES.items()
        )
        classes = tuple(
            _class(stance, metric["per_class"][stance]) for stance in STANCES if stance.value in (metric.get("per_class") or {})
        )
        name = str(metric.get("name", ""))
        found.append(
            Measured(
                name,
                str(metric.get("data", "")),
                str(metric.get("n", MISSING)),
                figures,
                classes,
                str(metric.get("note") or ""),
                name == inputs.main_judge,
            )
        )
    return found


def _class(stance: str, values: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    return (
        str(stance),
        plain(values.get("precision")),
        plain(values.get("recall")),
        plain(values.get("f1")),
        str(values.get("n", MISSING)),
    )


NOT_IN_INTERVALS = (
    "The intervals on this page carry the spread over questions, not the judge's errors. A bias of the judge is in every number, "
    "and it may differ between the styles in which a model answers before and after training."
)


def caution(inputs: ReportInputs) -> str:
    """The judge's quality in a sentence, by the test set on which it did worst."""
    mine = [metric for metric in _mine(inputs) if metric.get("accuracy") is not None]
    if not mine:
        return "The quality of the judge was not measured: every number here is a reading from an instrument that nobody has checked."
    worst = min(mine, key=lambda metric: float(metric["accuracy"]))
    return f"{_wrong(worst)} No interval on this page contains the judge's errors."


def distrust(inputs: ReportInputs) -> list[str]:
    """Where not to trust the judge, in sentences: what its figures show, and what they cannot show."""
    found = [] if _mine(inputs) else [caution(inputs)]
    for metric in _mine(inputs):
        data = metric.get("data", "its test set")
        if metric.get("accuracy") is not None:
            found.append(_wrong(metric))
        for stance, values in (metric.get("per_class") or {}).items():
            few = f" (there are only {values['n']}, so this is rough)" if values.get("n") is not None and values["n"] < FEW else ""
            if values.get("precision") is not None and values["precision"] < WEAK:
                found.append(f"On {data}, {percent(1 - values['precision'])} of the answers it called {stance} were not{few}.")
            if values.get("recall") is not None and values["recall"] < WEAK:
                found.append(f"On {data}, it missed {percent(1 - values['recall'])} of the {stance} answers{few}.")
    return [*found, NOT_IN_INTERVALS]


def _mine(inputs: ReportInputs) -> list[Mapping[str, Any]]:
    return [metric for metric in inputs.judge_metrics if metric.get("name") in (None, inputs.main_judge)]


def _wrong(metric: Mapping[str, Any]) -> str:
    wrong = 1 - float(metric["accuracy"])
    how = f"about one answer in {round(1 / wrong)}" if wrong > 0 else "no answer"
    return f"On {metric.get('data', 'its test set')}, the judge was wrong on {how}{_size(metric)}."


def _size(metric: Mapping[str, Any]) -> str:
    return f" ({counted(int(metric['n']), 'answer')})" if metric.get("n") is not None else ""
