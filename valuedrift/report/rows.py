"""One drift of the table as the page tells it: moved, little, or undecided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from valuedrift.lineage import Run
from valuedrift.report.inputs import ReportInputs
from valuedrift.stance import LITTLE
from valuedrift.words import interval, known, percent, plain, probability, signed, signed_interval

Kind = Literal["moved", "little", "undecided"]


@dataclass(frozen=True, slots=True)
class DriftRow:
    """A (run, topic, stance) with its numbers, ready to be written down."""

    run: Run
    topic: str
    stance: str
    magnitude: float
    low: float | None
    high: float | None
    before: float | None
    """Mean stance probability where the phase starts."""
    after: float | None
    """… and where it ends."""
    time: float | None
    time_low: float | None
    time_high: float | None
    time_note: str
    step: int | None
    """Training step at the drift time."""
    step_low: int | None
    """Steps at the ends of its interval."""
    step_high: int | None
    last_step: int
    checkpoints: tuple[int, ...]
    """Steps that were measured, from the first of the phase to its last."""
    q: float | None
    n_prompts: int
    kind: Kind

    @property
    def amount(self) -> str:
        """``+0.38 [+0.30, +0.45]``."""
        return f"{signed(self.magnitude)} {signed_interval(self.low, self.high)}".strip()

    @property
    def interval(self) -> str:
        """Interval of the magnitude."""
        return signed_interval(self.low, self.high)

    @property
    def path(self) -> str:
        """``0.12 → 0.50``."""
        return f"{plain(self.before)} → {plain(self.after)}"

    @property
    def sure_time(self) -> bool:
        """Whether the interval of the drift time holds one checkpoint only."""
        return self.step is not None and self.step_low == self.step == self.step_high

    @property
    def time_interval(self) -> str:
        """Interval of the drift time."""
        return "[no other]" if self.sure_time else interval(self.time_low, self.time_high)

    @property
    def when(self) -> str:
        """The drift time in a sentence; empty where there is none."""
        if self.step is None:
            return ""
        at = f"by step {self.step:,} of {self.last_step:,}"
        if self.sure_time:
            return f"{at}{self._place}; its interval holds no other checkpoint"
        if self.step_low is None or self.step_high is None:
            return f"{at} ({percent(self.time)} of the phase)"
        spread = f"interval: step {self.step_low:,} to {self.step_high:,}"
        return f"{at}, though when is uncertain ({spread})" if self.time_note else f"{at} ({percent(self.time)} of the phase; {spread})"

    @property
    def _place(self) -> str:
        """Where among the checkpoints the drift time lies, if that is at an end: what could not have been earlier, or later."""
        if len(self.checkpoints) < 3:
            return ", the only checkpoint after the start"
        places = {self.checkpoints[1]: ", the first checkpoint after the start", self.checkpoints[-1]: ", the last checkpoint"}
        return places.get(self.step if self.step is not None else -1, "")

    @property
    def q_text(self) -> str:
        """The q-value as text."""
        return probability(self.q)

    @property
    def q_clause(self) -> str:
        """``q < 0.001`` or ``q = 0.03``."""
        text = self.q_text
        return f"q\u00a0<\u00a0{text[1:]}" if text.startswith("<") else f"q\u00a0=\u00a0{text}"


def drift_rows(inputs: ReportInputs) -> list[DriftRow]:
    """All drifts of the main judge, largest magnitude first."""
    runs = {run.run_id: run for run in inputs.lineage.runs}
    means: dict[tuple[str, str, str], dict[int, float]] = {}
    for row in inputs.main_trajectory.iter_rows(named=True):
        means.setdefault((row["run_id"], row["topic"], row["stance"]), {})[row["step"]] = row["mean"]
    return [_row(row, runs[row["run_id"]], means, inputs.alpha) for row in inputs.main_drift.iter_rows(named=True) if row["run_id"] in runs]


def _row(row: Mapping[str, Any], run: Run, means: Mapping[tuple[str, str, str], Mapping[int, float]], alpha: float) -> DriftRow:
    first, last, time = row["from_step"], row["to_step"], row["drift_time"]
    low, high = row["magnitude_low"], row["magnitude_high"]
    moved = known(row["q"]) and row["q"] < alpha
    small = known(low) and known(high) and low > -LITTLE and high < LITTLE
    mine = means.get((row["run_id"], row["topic"], row["stance"]), {})

    def step_at(share: float | None) -> int | None:
        return round(first + share * (last - first)) if share is not None and known(share) else None

    return DriftRow(
        run=run,
        topic=row["topic"],
        stance=row["stance"],
        magnitude=row["magnitude"],
        low=low,
        high=high,
        before=mine.get(first),
        after=mine.get(last),
        time=time,
        time_low=row["drift_time_low"],
        time_high=row["drift_time_high"],
        time_note=row.get("drift_time_note") or "",
        step=step_at(time),
        step_low=step_at(row["drift_time_low"]),
        step_high=step_at(row["drift_time_high"]),
        last_step=last,
        checkpoints=tuple(sorted(step for step in mine if first <= step <= last)),
        q=row["q"],
        n_prompts=row["n_prompts"],
        kind="moved" if moved else "little" if small else "undecided",
    )


def by_run(rows: list[DriftRow]) -> dict[str, list[DriftRow]]:
    """Rows of each run, in their order."""
    found: dict[str, list[DriftRow]] = {}
    for row in rows:
        found.setdefault(row.run.run_id, []).append(row)
    return found


def questions_per_topic(inputs: ReportInputs) -> tuple[int, int] | None:
    """Fewest and most questions that a drift rests on."""
    counts = inputs.main_drift.get_column("n_prompts") if inputs.main_drift.height else pl.Series([], dtype=pl.Int32)
    return (int(counts.min()), int(counts.max())) if len(counts) else None  # type: ignore[arg-type]
