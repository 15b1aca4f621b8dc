"""A judge's figures as rows of tables, and back: the tables judge_quality, label_confusion and calibration_curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import polars as pl

from valuedrift.stance import STANCES

Figures = Mapping[str, Any]
"""One judge on one set of labelled answers, as `valuedrift.judges.quality.validation.Validation.flat` makes it: ``name``, ``data``, ``n``, ``accuracy`` with
``accuracy_low`` and ``accuracy_high``, …, ``per_class`` by label, ``confusion`` by label and verdict, ``calibration`` bin by bin."""
Origin = Literal["shipped", "labels"]
ALL = "all"
_OVERALL = ("accuracy", "macro_f1", "kappa", "brier", "log_loss", "calibration_error")
_VERDICTS = (*(stance.value for stance in STANCES), "refused", "unjudged")
_OF_A_LABEL = ("precision", "recall", "f1")
_KEY = {"origin": pl.String, "judge": pl.String, "data": pl.String}
_QUALITY = {**_KEY, "label": pl.String, "measure": pl.String, **dict.fromkeys(("value", "low", "high"), pl.Float64), "n": pl.Int64}
_CONFUSION = {**_KEY, "label": pl.String, "verdict": pl.String, "n": pl.Int64}
_RATES = ("confidence_low", "confidence_high", "confidence", "accuracy", "accuracy_low", "accuracy_high")
_CURVE = {**_KEY, **dict.fromkeys(_RATES, pl.Float64), "n": pl.Int64}
TABLES = ("judge_quality", "label_confusion", "calibration_curve")


def quality_tables(measured: Sequence[Figures], origin: Origin) -> dict[str, pl.DataFrame]:
    """The rows of some judges' figures.

    Args:
        measured: Figures, one a judge and set of labelled answers.
        origin: Where they come from.

    Returns:
        Each of ``TABLES`` by name, without the column study; what was not measured has no row.
    """
    schemas: tuple[dict[str, Any], ...] = (_QUALITY, _CONFUSION, _CURVE)
    rows: tuple[list[tuple[Any, ...]], ...] = ([], [], [])
    for figures in measured:
        key = (origin, figures["name"], figures["data"])
        rows[0].extend((*key, *row) for row in _measures(figures))
        rows[1].extend(
            (*key, label, verdict, n) for label, counts in (figures.get("confusion") or {}).items() for verdict, n in counts.items()
        )
        rows[2].extend(
            (*key, one["low"], one["high"], one["confidence"], one["accuracy"], one.get("accuracy_low"), one.get("accuracy_high"), one["n"])
            for one in figures.get("calibration") or ()
        )
    frames = [pl.DataFrame(part, schema=schema, orient="row") for part, schema in zip(rows, schemas, strict=True)]
    return {TABLES[0]: frames[0].with_row_index("entry_idx"), TABLES[1]: frames[1], TABLES[2]: frames[2]}


def figures_of(tables: Mapping[str, pl.DataFrame]) -> list[Figures]:
    """The figures that some rows hold, in the order in which they were written: the inverse of `quality_tables`.

    Args:
        tables: Each of ``TABLES`` by name.
    """
    quality, confusion, curve = (tables[name] for name in TABLES)
    found: list[Figures] = []
    for key, rows in quality.sort("origin", "entry_idx", descending=[True, False]).group_by(*_KEY, maintain_order=True):
        same = pl.all_horizontal(pl.col(name) == value for name, value in zip(_KEY, key, strict=True))
        figures: dict[str, Any] = {"name": key[1], "data": key[2], "per_class": {}, "confusion": {}}
        for row in rows.iter_rows(named=True):
            place = figures if row["label"] == ALL else figures["per_class"].setdefault(row["label"], {})
            place |= {row["measure"]: row["value"], "n": row["n"]}
            place |= {f"{row['measure']}_{end}": row[end] for end in ("low", "high") if row[end] is not None}
        counts = {(label, verdict): n for label, verdict, n in confusion.filter(same).select("label", "verdict", "n").iter_rows()}
        for label, verdict in sorted(counts, key=lambda pair: [_VERDICTS.index(name) for name in pair]):
            figures["confusion"].setdefault(label, {})[verdict] = counts[label, verdict]
        bins = curve.filter(same).sort("confidence_low").rename({"confidence_low": "low", "confidence_high": "high"})
        found.append({**figures, "calibration": bins.to_dicts()})
    return found


def _measures(figures: Figures) -> Iterator[tuple[Any, ...]]:
    """label, measure, value, low, high, n of every figure that was measured."""
    parts = [(ALL, _OVERALL, figures), *((label, _OF_A_LABEL, values) for label, values in (figures.get("per_class") or {}).items())]
    for label, measures, values in parts:
        for measure in measures:
            if values.get(measure) is not None:
                yield label, measure, values[measure], values.get(f"{measure}_low"), values.get(f"{measure}_high"), values.get("n")
