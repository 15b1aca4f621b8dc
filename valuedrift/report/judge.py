"""How good the judge was measured to be, and where that says not to trust it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from valuedrift.report.inputs import ReportInputs
from valuedrift.stance import STANCES
from valuedrift.words import MISSING, counted, interval, percent, plain

WEAK = 0.75
"""Precision or recall below which one class of answers is named as not to be trusted."""
FEW = 30
"""Examples of a class below which its figures say little."""
_FIGURES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "kappa": "κ", "brier": "Brier score", "calibration_error": "calibration error"}
NOT_IN_INTERVALS = (
    "The intervals on this page carry the spread over questions, not the judge's errors. A bias of the judge is in every number, "
    "and it may differ between the styles in which a model answers before and after training."
)
ASK_PEOPLE = "Labels of people put the judge's errors into the numbers: valuedrift labels draw, labels add, then run the study again."
NO_INTERVAL = "No interval on this page contains the judge's errors."
IN_LABELS = "What the judge's errors are worth is told under “What people's labels change”; only the intervals there contain them."


@dataclass(frozen=True, slots=True)
class Measured:
    """A judge on one test set, as text."""

    name: str
    data: str
    n: str
    figures: tuple[tuple[str, str, str], ...]
    """Name, value, interval."""
    classes: tuple[tuple[str, str, str, str, str], ...]
    """Stance, precision, recall, F1, n."""
    confusion: tuple[tuple[str, ...], ...]
    """A head (empty, then the judge's answers) and a row a label; empty where it was not recorded."""
    calibration: tuple[tuple[str, str, str, str], ...]
    """Mean confidence, share right, its interval, n, a row a bin."""
    main: bool
    """Whether this judge's numbers are the ones on the page."""


def measured(inputs: ReportInputs) -> list[Measured]:
    """The judges' metrics as text; what was not measured is said to be so."""
    return [
        Measured(
            name=str(metric.get("name", "")),
            data=str(metric.get("data", "")),
            n=str(metric.get("n", MISSING)),
            figures=tuple(_figure(metric, key, label) for key, label in _FIGURES.items()),
            classes=tuple(_class(stance, values) for stance, values in (metric.get("per_class") or {}).items()),
            confusion=_confusion(metric.get("confusion") or {}),
            calibration=tuple(_bin(one) for one in metric.get("calibration") or ()),
            main=metric.get("name") == inputs.main_judge,
        )
        for metric in inputs.judge_metrics
    ]


def caution(inputs: ReportInputs) -> str:
    """The judge's quality in a sentence, by the test set on which it did worst."""
    mine = [metric for metric in _mine(inputs) if metric.get("accuracy") is not None]
    if not mine:
        return "The quality of the judge was not measured: every number here is a reading from an instrument that nobody has checked."
    worst = min(mine, key=lambda metric: float(metric["accuracy"]))
    return f"{_wrong(worst)} {IN_LABELS if inputs.labels else NO_INTERVAL}"


def distrust(inputs: ReportInputs) -> list[str]:
    """Where not to trust the judge, in sentences: what its figures show, and what they cannot show."""
    found = [] if _mine(inputs) else [caution(inputs)]
    for metric in _mine(inputs):
        found.extend(_weak_points(metric))
    return [*found, NOT_IN_INTERVALS, IN_LABELS if inputs.labels else ASK_PEOPLE]


def second_opinions(inputs: ReportInputs) -> list[str]:
    """How far the study's other judges bear out the drifts that the page's judge saw."""
    alpha, keys = inputs.alpha, ["run_id", "topic", "stance"]
    moved = inputs.main_drift.filter(pl.col("q") < alpha).select(*keys, pl.col("magnitude").sign().alias("way"))
    found = []
    for judge in inputs.other_judges:
        theirs = inputs.drift_of(judge).select(*keys, pl.col("magnitude").sign().alias("their_way"), pl.col("q").alias("their_q"))
        both = moved.join(theirs, on=keys)
        way = both.filter(pl.col("way") == pl.col("their_way"))
        sure = way.filter(pl.col("their_q") < alpha).height
        found.append(
            f"Judge {judge} finds the same direction in {way.height} of the {counted(both.height, 'drift')} that moved on this page, "
            f"and more than noise in {sure}. Its numbers are in the tables."
        )
    return found


def _weak_points(metric: Mapping[str, Any]) -> Iterator[str]:
    data = metric.get("data", "its test set")
    if metric.get("accuracy") is not None:
        yield _wrong(metric)
    for stance, values in (metric.get("per_class") or {}).items():
        few = f" (there are only {values['n']}, so this is rough)" if values.get("n") is not None and values["n"] < FEW else ""
        if values.get("precision") is not None and values["precision"] < WEAK:
            yield f"On {data}, {percent(1 - values['precision'])} of the answers it called {stance} were not{few}."
        if values.get("recall") is not None and values["recall"] < WEAK:
            yield f"On {data}, it missed {percent(1 - values['recall'])} of the {stance} answers{few}."
    for one in metric.get("calibration") or ():
        if one.get("accuracy_high") is not None and one["accuracy_high"] < one["confidence"]:
            right = f"it was right in {percent(one['accuracy'])} (of {one['n']} answers)"
            yield f"On {data}, where it was {percent(one['confidence'])} sure {right}: it is overconfident there."


def _mine(inputs: ReportInputs) -> list[Mapping[str, Any]]:
    return [metric for metric in inputs.judge_metrics if metric.get("name") in (None, inputs.main_judge)]


def _wrong(metric: Mapping[str, Any]) -> str:
    wrong = 1 - float(metric["accuracy"])
    how = f"about one answer in {round(1 / wrong)}" if wrong > 0 else "no answer"
    size = f" ({counted(int(metric['n']), 'answer')})" if metric.get("n") is not None else ""
    return f"On {metric.get('data', 'its test set')}, the judge was wrong on {how}{size}."


def _figure(metric: Mapping[str, Any], key: str, label: str) -> tuple[str, str, str]:
    if metric.get(key) is None:
        return label, "not measured", ""
    return label, plain(metric[key]), interval(metric.get(f"{key}_low"), metric.get(f"{key}_high"))


def _class(stance: str, values: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    f1 = f"{plain(values.get('f1'))} {interval(values.get('f1_low'), values.get('f1_high'))}".strip()
    return (str(stance), plain(values.get("precision")), plain(values.get("recall")), f1, str(values.get("n", MISSING)))


def _confusion(confusion: Mapping[str, Mapping[str, int]]) -> tuple[tuple[str, ...], ...]:
    answers = list(dict.fromkeys(answer for row in confusion.values() for answer in row))
    answers = [answer for answer in answers if any(row.get(answer) for row in confusion.values()) or answer in STANCES]
    if not confusion:
        return ()
    return (("", *answers), *((label, *(str(row.get(answer, 0)) for answer in answers)) for label, row in confusion.items()))


def _bin(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    right = one.get("accuracy")
    spread = f"{percent(one['accuracy_low'])} to {percent(one['accuracy_high'])}" if one.get("accuracy_low") is not None else ""
    return (percent(one.get("confidence")), percent(right), spread, str(one.get("n", MISSING)))
