"""What a run did to a model's abilities: scores at its first and last checkpoint, paired over items, corrected for many tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import binomtest

from valuedrift.statistics import Array
from valuedrift.statistics.intervals import mean_interval
from valuedrift.statistics.significance import benjamini_hochberg, paired_p_values

CHANGES_VERSION = 1
"""Raised when these statistics change their numbers."""
_SCORE = ["run_id", "task", "subtask", "metric"]
_SAME = 1e-9
"""A score that differs less from the mean over its items is that mean: only then can its change be paired over them."""
_SCHEMA: Mapping[str, Any] = {
    **dict.fromkeys(_SCORE, pl.String),
    **dict.fromkeys(("from_step", "to_step"), pl.Int64),
    **dict.fromkeys(("score_from", "score_to", "change", "change_low", "change_high", "p_value", "q_value"), pl.Float64),
    **dict.fromkeys(("n_items", "n_gained", "n_lost"), pl.Int32),
    "higher_is_better": pl.Boolean,
}


def changes(scores: pl.DataFrame, items: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """Changes of a study's runs.

    Args:
        scores: Table capabilities.
        items: Table capability_items.
        confidence: Level of the intervals, in (0, 1).

    Returns:
        Table capability_changes without ``study``: a row a run, task and metric that was scored at two checkpoints and is a mean over items. Of a group
        that is such a mean over all its items there is one row, of another one a row for each of its tasks.
    """
    rows = [
        row
        for (run_id, task), own in scores.group_by("run_id", "task", maintain_order=True)
        for row in _of_task(run_id, task, own, items, confidence)
    ]
    found = pl.DataFrame(rows, schema=_SCHEMA)
    tested = found.get_column("p_value").is_not_null()
    q_values = np.full(found.height, np.nan)
    q_values[tested.to_numpy()] = benjamini_hochberg(found.filter(tested).get_column("p_value").to_numpy())
    return found.with_columns(q_value=pl.Series(q_values).fill_nan(None)).sort(_SCORE)


def _of_task(run_id: Any, task: Any, scores: pl.DataFrame, items: pl.DataFrame, confidence: float) -> Iterator[dict[str, Any]]:
    first, last = int(scores["step"].min()), int(scores["step"].max())  # type: ignore[arg-type]
    if first == last:
        return
    mine = items.filter(run_id=run_id, task=task)
    parts = set(mine.get_column("subtask"))
    named = scores.get_column("subtask").unique(maintain_order=True).to_list()
    wholes = [name for name in named if name not in parts and name == _group_of(scores, parts)]
    for metric in scores.get_column("metric").unique(maintain_order=True):
        paired = {
            name: _change(scores, mine, parts if name in wholes else {name}, name, metric, (first, last), confidence) for name in named
        }
        whole = [name for name in wholes if paired[name] is not None]
        for name in whole or [name for name in named if name in parts]:
            found = paired[name]
            if found is not None:
                yield {"run_id": run_id, "task": task, "subtask": name, "metric": metric, "from_step": first, "to_step": last, **found}


def _group_of(scores: pl.DataFrame, parts: set[str]) -> str | None:
    """The group of all: of those that are no task the one with most items."""
    groups = scores.filter(~pl.col("subtask").is_in(list(parts))).sort("n_items", descending=True, maintain_order=True)
    return str(groups["subtask"][0]) if groups.height else None


def _change(
    scores: pl.DataFrame, items: pl.DataFrame, of: set[str], name: str, metric: str, steps: tuple[int, int], confidence: float
) -> dict[str, Any] | None:
    """One change; None where the score is no mean over items, or was not found at both steps."""
    ends = [scores.filter(subtask=name, metric=metric, step=step) for step in steps]
    each = [
        items.filter(pl.col("subtask").is_in(list(of)), metric=metric, step=step).select("subtask", "item_idx", "score") for step in steps
    ]
    if not all(end.height == 1 for end in ends) or not all(one.height for one in each):
        return None
    before, after = (float(end["score"][0]) for end in ends)
    pairs = each[0].join(each[1], on=["subtask", "item_idx"], suffix="_to", how="inner").sort("subtask", "item_idx")
    if pairs.height < each[0].height or pairs.height < each[1].height:
        return None
    told = pairs.get_column("score").to_numpy(), pairs.get_column("score_to").to_numpy()
    if any(abs(float(values.mean()) - score) > _SAME for values, score in zip(told, (before, after), strict=True)):
        return None
    binary = all(set(np.unique(values)) <= {0.0, 1.0} for values in told)
    gained, lost = int((told[1] > told[0]).sum()), int((told[1] < told[0]).sum())
    low, high, p_value = _paired(told[1] - told[0], max(1.0, float(np.abs(told).max())), confidence)
    if binary and p_value is not None:
        p_value = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return {
        "score_from": before,
        "score_to": after,
        "change": after - before,
        "change_low": low,
        "change_high": high,
        "p_value": p_value,
        "n_items": pairs.height,
        "n_gained": gained if binary else None,
        "n_lost": lost if binary else None,
        "higher_is_better": ends[1]["higher_is_better"][0],
    }


def _paired(difference: Array, scale: float, confidence: float) -> tuple[float, float, float | None]:
    """Interval and p-value of a mean difference over items."""
    found = mean_interval(difference / scale, confidence, bounds=(-1.0, 1.0))
    p_value = float(paired_p_values(found))
    return float(found.low) * scale, float(found.high) * scale, p_value if np.isfinite(p_value) else None
