"""From arrays to the trajectory and drift tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from valuedrift.drift.prompt_means import Cell
from valuedrift.drift.timing import DriftTime
from valuedrift.stance import STANCES
from valuedrift.statistics import Array
from valuedrift.statistics.distances import jensen_shannon, total_variation
from valuedrift.statistics.intervals import TINY, Interval, mean_interval
from valuedrift.statistics.significance import benjamini_hochberg, paired_p_values

_DRIFT: dict[str, pl.DataType | type[pl.DataType]] = {
    "stance": pl.String,
    "from_step": pl.Int64,
    "to_step": pl.Int64,
    "magnitude": pl.Float64,
    "magnitude_low": pl.Float64,
    "magnitude_high": pl.Float64,
    "drift_time": pl.Float64,
    "drift_time_low": pl.Float64,
    "drift_time_high": pl.Float64,
    "n_prompts": pl.Int32,
    "p_value": pl.Float64,
    "total_variation": pl.Float64,
    "jensen_shannon": pl.Float64,
    "drift_time_warning": pl.Boolean,
    "drift_time_note": pl.String,
    "baseline_run_id": pl.String,
    "baseline_study": pl.String,
}
DRIFT_ORDER = (
    "n_prompts",
    "p_value",
    "q_value",
    "total_variation",
    "jensen_shannon",
    "q_value_study",
    "drift_time_warning",
    "drift_time_note",
    "baseline_run_id",
    "baseline_study",
)


@dataclass(slots=True)
class TrajectoryRows:
    """Rows of the trajectory table, gathered cell by cell."""

    confidence: float
    keys: list[dict[str, str]] = field(default_factory=list)
    steps: list[np.ndarray] = field(default_factory=list)
    numbers: list[Array] = field(default_factory=list)

    def add(self, cell: Cell) -> None:
        """Means of one cell at every checkpoint."""
        found = mean_interval(cell.values, self.confidence, bounds=(0.0, 1.0), rounding=cell.rounding)
        self.keys.append(cell.keys)
        self.steps.append(cell.steps)
        self.numbers.append(np.stack([found.estimate, found.low, found.high, found.count], axis=-1).reshape(-1, 4))

    def frame(self) -> pl.DataFrame:
        """The trajectory table; checkpoints without a judged sample have no row."""
        numbers = np.concatenate(self.numbers)
        cell = np.repeat(np.arange(len(self.keys)), [len(steps) * len(STANCES) for steps in self.steps])
        keys = pl.DataFrame(self.keys)[cell]
        stances = pl.Series(list(STANCES), dtype=pl.String).gather(np.tile(np.arange(len(STANCES)), len(numbers) // len(STANCES)))
        frame = keys.with_columns(
            step=pl.Series(np.repeat(np.concatenate(self.steps), len(STANCES))),
            stance=stances,
            mean=numbers[:, 0],
            low=numbers[:, 1],
            high=numbers[:, 2],
            n_prompts=pl.Series(numbers[:, 3]).cast(pl.Int32),
        )
        names = [name for name in keys.columns if name != "topic"]
        return frame.filter(pl.col("n_prompts") > 0).select(*names, "step", "topic", "stance", "mean", "low", "high", "n_prompts")


@dataclass(slots=True)
class DriftRows:
    """Rows of the drift table, gathered cell by cell."""

    confidence: float
    keys: dict[str, pl.DataType | type[pl.DataType]]
    rounding: float = TINY
    rows: list[tuple[object, ...]] = field(default_factory=list)

    def add(
        self,
        keys: dict[str, str],
        steps: tuple[int, int],
        before: Array,
        after: Array,
        times: list[DriftTime],
        baseline: Mapping[str, str] | None = None,
    ) -> bool:
        """The drift of three stances between two sets of prompt means.

        Args:
            keys: study, judge (if given), run_id and topic.
            steps: The two checkpoints.
            before: Prompt means, NaN where missing. Shape (P, 3).
            after: Those of the same prompts. Shape (P, 3).
            times: Drift time of each stance.
            baseline: ``keys`` of the other run, where two are compared.

        Returns:
            False if fewer than two prompts are in both; nothing is added then.
        """
        paired = ~np.isnan(after - before).any(axis=1)
        if paired.sum() < 2:
            return False
        before, after = before[paired], after[paired]
        found = mean_interval(after - before, self.confidence, bounds=(-1.0, 1.0), rounding=self.rounding)
        other = (baseline["run_id"], baseline.get("study")) if baseline is not None else (None, None)
        self.enter(keys, steps, found, (before.mean(axis=0), after.mean(axis=0)), int(paired.sum()), times, other)
        return True

    def enter(
        self,
        keys: dict[str, str],
        steps: tuple[int, int],
        found: Interval,
        ends: tuple[Array, Array],
        n_prompts: int,
        times: list[DriftTime],
        baseline: tuple[str | None, str | None] = (None, None),
    ) -> None:
        """The drift of three stances that is known with its interval.

        Args:
            keys: study, judge (if given), run_id and topic.
            steps: The two checkpoints.
            found: Differences with their intervals. An interval without an error says nothing: its p-value is 1.
            ends: Stance distributions at the two. Shape (3,) each.
            n_prompts: Prompts behind it.
            times: Drift time of each stance.
            baseline: run_id and study of the other run, where two are compared.
        """
        p_values = np.nan_to_num(paired_p_values(found), nan=1.0)
        variation, shannon = float(total_variation(*ends)), float(jensen_shannon(*ends))
        for s, stance in enumerate(STANCES):
            time = times[s]
            numbers = (
                float(found.estimate[s]),
                float(found.low[s]),
                float(found.high[s]),
                time.value,
                time.low,
                time.high,
                n_prompts,
                float(p_values[s]),
            )
            self.rows.append((*keys.values(), stance.value, *steps, *numbers, variation, shannon, time.warning, time.note, *baseline))

    def frame(self) -> pl.DataFrame:
        """The drift table with its q-values: one family a run, and beside it one a study and judge."""
        frame = pl.DataFrame(self.rows, schema={**self.keys, **_DRIFT}, orient="row")
        study = [name for name in self.keys if name in ("study", "judge")]
        frame = with_q(frame, [*study, "run_id"], "q_value")
        frame = with_q(frame, study, "q_value_study")
        names = [name for name in frame.columns if name not in DRIFT_ORDER]
        return frame.select(*names, *DRIFT_ORDER)


def with_q(frame: pl.DataFrame, family: list[str], name: str) -> pl.DataFrame:
    """A table with the q-values (Benjamini–Hochberg) of its column p_value, one family of tests for each value of some columns.

    Args:
        frame: The table, sorted by ``family``.
        family: Columns that tell families apart; none: all rows are one.
        name: The new column.
    """
    if frame.is_empty():
        return frame.with_columns(pl.lit(None, dtype=pl.Float64).alias(name))
    parts = frame.partition_by(family, maintain_order=True) if family else [frame]
    return pl.concat(
        [part.with_columns(pl.Series(name, benjamini_hochberg(part["p_value"].to_numpy()), dtype=pl.Float64)) for part in parts]
    )
