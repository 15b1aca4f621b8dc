"""What became of the answers: judged, refused, unparsed, failed, missing, cut short."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from valuedrift.lineage import Run
from valuedrift.report.inputs import ReportInputs
from valuedrift.results.drifts import of_judge
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
    missing_prompts: int
    """Questions without a judged answer, summed over checkpoints."""
    n_cut: int | None
    """Answers that ended at the token limit; None where it is not known."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.ok + self.refused + self.unparsed + self.failed

    @property
    def cut(self) -> float | None:
        """Share of the answers that ended at the token limit."""
        return self.n_cut / self.total if self.n_cut is not None and self.total else None

    @property
    def lost(self) -> str:
        """Share that entered no mean."""
        return percent((self.total - self.ok) / self.total) if self.total else MISSING


def count_judgements(inputs: ReportInputs) -> list[Counts]:
    """Judgements by status of every run under the main judge, from the table coverage."""
    names = [status.value for status in JudgeStatus]
    frame = of_judge(inputs.coverage, inputs.main_judge)
    if not frame.height:
        return []
    table = frame.group_by("run_id").agg(
        *(pl.col(f"n_{name}").sum() for name in names),
        pl.col("missing_prompts").sum(),
        n_cut=pl.when(pl.col("n_cut").is_not_null().all()).then(pl.col("n_cut").sum()),
    )
    rows = {row["run_id"]: row for row in table.iter_rows(named=True)}
    return [
        Counts(run, row["n_ok"], row["n_refused"], row["n_unparsed"], row["n_failed"], row["missing_prompts"], row["n_cut"])
        for run in inputs.lineage.runs
        if (row := rows.get(run.run_id)) is not None
    ]
