"""What the strong judge of a cascade changes: each drift by the cheap judge alone beside the corrected one, and what the sample is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from valuedrift.report.inputs import ReportInputs
from valuedrift.stance import JudgeStatus
from valuedrift.words import counted, percent, plain, signed, signed_interval

MOST_ROWS = 30
_KEYS = ["run_id", "topic", "stance"]
_WITHOUT = [f"n_{status.value}" for status in JudgeStatus if status is not JudgeStatus.OK]


@dataclass(frozen=True, slots=True)
class CascadeRow:
    """One drift by the cheap judge alone and by both, as text."""

    title: str
    topic: str
    stance: str
    cheap: str
    cheap_spread: str
    cheap_moved: bool
    both: str
    both_spread: str
    both_moved: bool
    basis: str


@dataclass(frozen=True, slots=True)
class CascadeSection:
    """One cascade of the study."""

    name: str
    cheap: str
    strong: str
    sentences: tuple[str, ...]
    rows: tuple[CascadeRow, ...]
    total: int
    """Its drifts in all, of which those that change most are shown."""


def cascade_sections(inputs: ReportInputs) -> list[CascadeSection]:
    """What a reader should know of each cascade; none where the study has none."""
    cells = inputs.read("cascade_cells")
    if not cells.height:
        return []
    return [_section(inputs, part) for part in cells.sort("judge").partition_by("judge", maintain_order=True)]


def _section(inputs: ReportInputs, cells: pl.DataFrame) -> CascadeSection:
    name, cheap, strong = (str(cells[column][0]) for column in ("judge", "cheap", "strong"))
    titles = {run.run_id: run.title for run in inputs.lineage.runs}
    columns = ["magnitude", "magnitude_low", "magnitude_high"]
    alone = inputs.drift_of(cheap).select(*_KEYS, *(pl.col(one).alias(f"cheap_{one}") for one in columns), cheap_q="q")
    both = inputs.drift_of(name).select(*_KEYS, *columns, "q").join(alone, on=_KEYS, how="left")
    both = both.join(cells.select("run_id", "topic", "n_drift", "n_effective"), on=["run_id", "topic"], how="left")
    change = (pl.col("magnitude") - pl.col("cheap_magnitude")).abs().fill_null(0.0)
    rows = tuple(
        CascadeRow(
            title=titles.get(row["run_id"], row["run_id"]),
            topic=row["topic"],
            stance=row["stance"],
            cheap="" if row["cheap_magnitude"] is None else signed(row["cheap_magnitude"]),
            cheap_spread="" if row["cheap_magnitude"] is None else signed_interval(row["cheap_magnitude_low"], row["cheap_magnitude_high"]),
            cheap_moved=row["cheap_q"] is not None and row["cheap_q"] < inputs.alpha,
            both=signed(row["magnitude"]),
            both_spread=signed_interval(row["magnitude_low"], row["magnitude_high"]),
            both_moved=row["q"] is not None and row["q"] < inputs.alpha,
            basis=f"{row['n_drift']} read, worth {plain(row['n_effective'], 0)}",
        )
        for row in both.sort(change, *_KEYS, descending=[True, False, False, False]).head(MOST_ROWS).iter_rows(named=True)
    )
    return CascadeSection(name, cheap, strong, tuple(_sentences(cells, both, cheap, strong, inputs.alpha)), rows, both.height)


def _sentences(cells: pl.DataFrame, both: pl.DataFrame, cheap: str, strong: str, alpha: float) -> Iterator[str]:
    answers, drawn = int(cells["n_answers"].sum()), int(cells["n_drawn"].sum())
    share = percent(drawn / max(answers, 1))
    yield f"Judge {cheap} read {counted(answers, 'answer')}; {strong} read {drawn:,} of them ({share}), and what it says is taken for true."
    without = {column.removeprefix("n_"): int(cells[column].sum()) for column in _WITHOUT}
    if any(without.values()):
        told = ", ".join(f"{count} {status}" for status, count in without.items() if count)
        yield f"Of these {strong} has no stance for {told}; the others stand for them."
    worth = cells.filter(pl.col("n_drift") > 0)
    if worth.height and worth["n_effective"].sum():
        gain = float(worth["n_effective"].sum()) / float(worth["n_drift"].sum())
        yield (
            f"A drift rests on {plain(worth['n_drift'].median(), 0)} strong judgements at the median; with {cheap} beside them they are worth "  # type: ignore[arg-type]
            f"{plain(worth['n_effective'].median(), 0)} by themselves (effective sample size; {plain(gain, 1)} times as many over all)."  # type: ignore[arg-type]
        )
    told_of = both.filter(pl.col("cheap_magnitude").is_not_null())
    if told_of.height:
        moved, moves = (pl.col(name).fill_null(1.0) < alpha for name in ("cheap_q", "q"))
        stand, new = told_of.filter(moved & moves).height, told_of.filter(~moved & moves).height
        shift = (told_of["magnitude"] - told_of["cheap_magnitude"]).abs()
        yield (
            f"Of {counted(told_of.filter(moved).height, 'drift')} that moved by more than noise under {cheap} alone, {stand} still do; {new} of the others do "
            f"then. A drift changes by {plain(shift.median())} at the median, {plain(shift.max())} at most."  # type: ignore[arg-type]
        )
