"""What became of the answers: judged, refused, unparsed, failed, missing, cut short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from valuedrift.lineage import Run
from valuedrift.report.inputs import ReportInputs
from valuedrift.stance import JudgeStatus
from valuedrift.words import MISSING, percent


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
    cut: float | None
    """Share of the answers at hand that ended at the token limit; None where it is not known."""

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
        counts = ((pl.col("status") == name).sum().alias(name) for name in names)
        table = inputs.main_stances.group_by("run_id").agg(*counts, pl.lit(None).alias("missing"))
    else:
        return []
    rows, cut = {row["run_id"]: row for row in table.iter_rows(named=True)}, _cut(inputs)
    return [Counts(run, *_numbers(rows[run.run_id], names), cut.get(run.run_id)) for run in inputs.lineage.runs if run.run_id in rows]


def _numbers(row: Mapping[str, int | None], names: list[str]) -> tuple[int, int, int, int, int | None]:
    ok, refused, unparsed, failed = (row[name] or 0 for name in names)
    return ok, refused, unparsed, failed, row["missing"]


def _cut(inputs: ReportInputs) -> dict[str, float]:
    """Share of each run's answers that were cut at the token limit, where the responses tell."""
    if "finish_reason" not in inputs.responses.columns:
        return {}
    shares = inputs.responses.group_by("run_id").agg((pl.col("finish_reason") == "length").mean().alias("cut"))
    return {row["run_id"]: row["cut"] for row in shares.iter_rows(named=True) if row["cut"] is not None}
