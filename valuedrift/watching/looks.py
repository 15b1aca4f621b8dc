"""A watched run, look by look: how far each topic and stance has moved from the start at every checkpoint, and which alerts that fires."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.drift.options import Towards
from valuedrift.drift.prompt_means import Cell, cells, oriented, prompt_means
from valuedrift.drift.stance_frame import STANCE_TYPE, check_stances, run_keys
from valuedrift.stance import STANCE_COLUMNS, STANCES
from valuedrift.statistics import Array
from valuedrift.statistics.intervals import TINY
from valuedrift.statistics.rounding import rounding_of
from valuedrift.watching.alerts import ANY, Alert, Alerts
from valuedrift.watching.many_looks import changes
from valuedrift.watching.spending import MEAN_OF, Spending
from valuedrift.words import signed, signed_interval

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "step": pl.Int64,
    "topic": pl.String,
    "stance": pl.String,
    "mean_of": pl.Int32,
    "look": pl.Int32,
    "change": pl.Float64,
    "change_low": pl.Float64,
    "change_high": pl.Float64,
    "n_prompts": pl.Int32,
}


@dataclass(frozen=True, slots=True)
class Looks:
    """What was seen, and what is told of it. ``study`` and ``judge`` are columns where the stances had them.

    Attributes:
        looks: study, judge, run_id, step, topic, stance, mean_of i32 (over how many checkpoints the change is the mean: 1, the one at this step, or 2,
            it and the one before), look i32 (which look at the run, from 1), change, change_low, change_high in [−1, 1], n_prompts i32. Only what some
            rule names.
        alerts: The rows of ``looks`` on which a rule fired, with ``rule`` (its words) and ``first`` (whether it had not fired yet in this run, topic, stance
            and judge).
    """

    looks: pl.DataFrame
    alerts: pl.DataFrame


def looks(
    stances: pl.DataFrame | pl.LazyFrame,
    alerts: Alerts,
    *,
    planned: int | Mapping[str, int] | None = None,
    towards: Towards = Towards.QUESTION,
    where: str | None = None,
) -> Looks:
    """Look at runs at each of their checkpoints so far.

    Args:
        stances: Judged answers, as for `valuedrift.drift.analyze.analyze`.
        alerts: The rules.
        planned: How many looks are planned (checkpoints after the start), for all runs or by run_id; unknown otherwise.
        towards: What the stance is taken on.
        where: The file or address the stances came from, for messages.

    Returns:
        The frames, sorted; rows of a look are the same whatever comes after it.

    Raises:
        DataError: See `valuedrift.drift.stance_frame.check_stances`.
    """
    frame = stances.lazy()
    check_stances(frame, where=where)
    means = oriented(prompt_means(frame, where=where), towards, where=where)
    return looks_of(means, alerts, planned=planned, rounding=rounding_of(frame, STANCE_COLUMNS))


def looks_of(means: pl.DataFrame, alerts: Alerts, *, planned: int | Mapping[str, int] | None = None, rounding: float = TINY) -> Looks:
    """The same from prompt means, of which a watcher need only add those of the new checkpoint.

    Args:
        means: As `valuedrift.drift.prompt_means.prompt_means` returns them.
        alerts: The rules.
        planned: As for `looks`.
        rounding: How finely the stances behind them were written; see `valuedrift.statistics.rounding`.
    """
    keys = run_keys(means.schema)
    by_run = [name for name in keys if name != "judge"]
    schema = {**dict.fromkeys(keys, pl.String), **_COLUMNS}
    parts = [
        _rows(cell, steps, named, Spending(alerts.confidence, count, _planned(planned, cell.keys["run_id"])))
        for run in means.partition_by(by_run, maintain_order=True)
        for cell, steps, named, count in _named(run, alerts, rounding)
    ]
    return _looks(pl.concat([pl.DataFrame(schema=schema), *parts]), keys, alerts)


def looks_from(rows: Sequence[Mapping[str, object]], keys: Sequence[str], alerts: Alerts) -> Looks:
    """The same from rows that are known: those of ``Looks.looks`` in any order.

    Args:
        rows: Each with all columns.
        keys: Those of study, judge and run_id that there are.
        alerts: The rules.
    """
    return _looks(pl.DataFrame(rows, schema={**dict.fromkeys(keys, pl.String), **_COLUMNS}), list(keys), alerts)


def _looks(rows: pl.DataFrame, keys: list[str], alerts: Alerts) -> Looks:
    order = [*keys, "step", "topic", "stance", "mean_of"]
    seen = rows.with_columns(pl.col("stance").cast(STANCE_TYPE)).sort(order)
    seen = seen.select(*keys, *_COLUMNS).with_columns(pl.col("stance").cast(pl.String))
    return Looks(seen, _fired(seen, alerts.rules, [*keys, "topic", "stance", "rule"]))


def _planned(planned: int | Mapping[str, int] | None, run: str) -> int | None:
    found = planned.get(run) if isinstance(planned, Mapping) else planned
    return None if found is None else max(found, 1)


def _named(run: pl.DataFrame, alerts: Alerts, rounding: float) -> Iterator[tuple[Cell, NDArray[np.int64], NDArray[np.bool_], int]]:
    """The cells of one run that were there at its start, with the run's steps, the stances that some rule names, and how many of those the run has in all."""
    steps = run["step"].unique().sort().to_numpy()
    found = []
    for cell in cells(run, rounding):
        named = np.array([any(names_stance(rule, cell.keys, stance) for rule in alerts.rules) for stance in STANCES])
        if cell.steps[0] == steps[0] and named.any():
            found.append((cell, named))
    count = int(sum(named.sum() for _, named in found))
    for cell, named in found:
        yield cell, steps, named, count


def names_stance(rule: Alert, keys: Mapping[str, str], stance: str) -> bool:
    """Whether a rule is on a stance of a cell.

    Args:
        rule: The rule.
        keys: The cell's: topic and run_id among them.
        stance: The stance.
    """
    return rule.stance in (ANY, stance) and rule.topic in (ANY, keys["topic"]) and rule.run in (ANY, keys["run_id"])


def _rows(cell: Cell, steps: NDArray[np.int64], named: NDArray[np.bool_], spending: Spending) -> pl.DataFrame:
    """The rows of one cell; a checkpoint without a prompt that was there at the start too has none."""
    values: Array = np.full((len(cell.prompts), len(steps), int(named.sum())), np.nan)
    values[:, np.searchsorted(steps, cell.steps)] = cell.values[:, :, named]
    found = changes(values, spending.levels(len(steps) - 1), rounding=cell.rounding)
    look, mean_of, stance = (index.ravel() for index in np.indices(found.change.shape))
    stances = [name.value for name, kept in zip(STANCES, named, strict=True) if kept]
    frame = pl.DataFrame(
        {
            "step": steps[1:][look],
            "topic": pl.Series([cell.keys["topic"]], dtype=pl.String).new_from_index(0, len(look)),
            "stance": pl.Series(stances, dtype=pl.String).gather(stance),
            "mean_of": np.array(MEAN_OF)[mean_of],
            "look": look + 1,
            "change": found.change.ravel(),
            "change_low": found.low.ravel(),
            "change_high": found.high.ravel(),
            "n_prompts": found.count.ravel(),
        },
        schema_overrides=_COLUMNS,
    )
    names = {name: pl.lit(value) for name, value in cell.keys.items() if name != "topic"}
    return frame.filter(pl.col("n_prompts") > 0).select(*(value.alias(name) for name, value in names.items()), *_COLUMNS)


def _fired(seen: pl.DataFrame, rules: tuple[Alert, ...], of: list[str]) -> pl.DataFrame:
    """The rows on which rules fired."""
    low, high = pl.col("change_low"), pl.col("change_high")
    parts = [seen.clear().with_columns(rule=pl.lit(None, dtype=pl.String))]
    for rule in rules:
        wanted = (("stance", rule.stance), ("topic", rule.topic), ("run_id", rule.run))
        named = pl.all_horizontal(pl.lit(True), *(pl.col(column) == str(value) for column, value in wanted if value != ANY))
        # Without a number, to either side of 0.
        fires = pl.any_horizontal(
            low > (rule.above or 0.0) if rule.below is None else pl.lit(False),
            high < (rule.below or 0.0) if rule.above is None else pl.lit(False),
        )
        parts.append(seen.filter(named & fires).with_columns(rule=pl.lit(rule.text)))
    # A rule that is given twice, or in other words, fires once.
    fired = pl.concat(parts).unique(maintain_order=True).with_columns(first=(pl.col("step") == pl.col("step").min().over(of)))
    return fired.sort([*run_keys(seen.schema), "step", "topic", pl.col("stance").cast(STANCE_TYPE), "mean_of", "rule"])


def sentence(row: Mapping[str, Any]) -> str:
    """A row of ``Looks.alerts`` in words, for lines, notes and messages.

    Returns:
        E.g. ``neutral on immigration −0.24 [−0.33, −0.15] since the start of smollm.dpo-pairs, at step 300 (alert: neutral on immigration < -0.2)``.
    """
    over = " and the checkpoint before" if row["mean_of"] == 2 else ""
    changed = f"{signed(row['change'])} {signed_interval(row['change_low'], row['change_high'])}"
    return f"{row['stance']} on {row['topic']} {changed} since the start of {row['run_id']}, at step {row['step']}{over} (alert: {row['rule']})"
