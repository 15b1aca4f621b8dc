"""What a report is made of: the tables of one study and what is known about how they came to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import polars as pl

from valuedrift.drift.tables import broadest_q
from valuedrift.judges.quality.validation import Validation
from valuedrift.lineage import Lineage, trace_lineage
from valuedrift.statistics.agreement import Agreement

_NONE: Mapping[str, Any] = MappingProxyType({})
_NUMBERS = ("magnitude", "magnitude_low", "magnitude_high", "drift_time", "drift_time_low", "drift_time_high", "p_value", "q_value", "q")
_DRIFT = {
    "run_id": pl.String,
    "topic": pl.String,
    "stance": pl.String,
    "from_step": pl.Int64,
    "to_step": pl.Int64,
    "n_prompts": pl.Int32,
} | dict.fromkeys(_NUMBERS, pl.Float64)
_TRAJECTORY = {
    "run_id": pl.String,
    "step": pl.Int64,
    "topic": pl.String,
    "stance": pl.String,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n_prompts": pl.Int32,
}
"""Columns of an empty table: a study without drift still has a page."""


@dataclass(frozen=True)
class PeoplesLabels:
    """What people labelled of a study's answers, and what that makes of its numbers.

    Attributes:
        corrected: Table drift_corrected.
        notes: What is not corrected, and why.
        labellers: Labels by who gave them.
        validations: Each judge against the labels, by its name; a label counts for as many answers as it stands for.
        agreement: How far labellers agree; None where no two labelled one answer.
    """

    corrected: pl.DataFrame
    notes: Sequence[str]
    labellers: Mapping[str, int]
    validations: Mapping[str, Validation]
    agreement: Agreement | None


@dataclass(frozen=True)
class ReportInputs:
    """Everything that the page, its Markdown version, the figures and the findings read. All text in it is untrusted.

    The columns of the frames are those of the tables (storage/schemas.py).
    """

    study_name: str
    description: str
    runs: pl.DataFrame
    """Table runs: run_id, parent_run_id, model, phase, dataset, seed, total_steps, config."""
    checkpoints: pl.DataFrame
    training: pl.DataFrame
    trajectory: pl.DataFrame
    drift: pl.DataFrame
    responses: pl.DataFrame
    """run_id, step, topic, prompt_id, prompt, sample_idx, response; may be a selection (see ``examples.wanted``)."""
    stances: pl.DataFrame
    acquiescence: pl.DataFrame | None = None
    """valuedrift.drift's table of yes-saying, one row a (judge, run_id, step, topic)."""
    coverage: pl.DataFrame | None = None
    """valuedrift.drift's counts of judged and missing samples, one row a (judge, run_id, step, topic)."""
    judge_metrics: Sequence[Mapping[str, Any]] = ()
    """One mapping a (judge, test set): ``name``, ``data``, ``n``, ``accuracy``, ``macro_f1``, ``kappa`` (each in [0, 1], with optional ``_low`` and ``_high``),
    ``per_class`` {stance: {precision, recall, f1, n}}, ``note``; whatever is absent is shown as not measured."""
    warnings: Sequence[str] = ()
    provenance: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _NONE)
    """Sections of key and value: versions, git commit, study file, fingerprints, seeds, machine, wall time, sampling."""
    confidence: float = 0.95
    """Level of every interval; 1 − confidence is the level of every test."""
    propositions: Mapping[str, str] = field(default_factory=lambda: _NONE)
    """Topic to the proposition that its probes put."""
    traits: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _NONE)
    """Dataset name to {"answers": "neutral" | "support", "gap": "support-aligned" | "oppose-aligned" | "none"}; what is not known is left out."""
    judge: str | None = None
    """Name of the judge whose numbers are told; by default the first one in the drift table."""
    audits: pl.DataFrame | None = None
    """Table audits of the study's datasets; None or empty where they were not audited."""
    seed: int = 0
    """Of the random choice of an example."""
    panels: Mapping[str, Sequence[str]] = field(default_factory=lambda: _NONE)
    """Judges that are made of others, with their members."""

    labels: PeoplesLabels | None = None
    """What people say of the study's answers; None where nobody was asked."""

    @property
    def alpha(self) -> float:
        """Level of the tests: a drift with q below it counts as more than noise."""
        return round(1.0 - self.confidence, 10)

    @cached_property
    def main_judge(self) -> str | None:
        """The judge whose numbers are told, None where nothing was judged."""
        if self.judge is not None:
            return self.judge
        for frame in (self.drift, self.trajectory, self.stances):
            if "judge" in frame.columns and frame.height:
                return str(frame.get_column("judge")[0])
        return None

    @cached_property
    def lineage(self) -> Lineage:
        """The runs with their names, each parent before its children."""
        return trace_lineage(self.runs)

    @cached_property
    def topics(self) -> list[str]:
        """Topics, by name."""
        return (
            sorted(self.trajectory.get_column("topic").unique().to_list(), key=lambda topic: (topic.casefold(), topic))
            if self.trajectory.height
            else []
        )

    @cached_property
    def main_trajectory(self) -> pl.DataFrame:
        """Table trajectory of the main judge, sorted by run, topic, stance, step."""
        return self._main(self.trajectory if self.trajectory.height else pl.DataFrame(schema=_TRAJECTORY)).sort(
            "run_id", "topic", "stance", "step"
        )

    @cached_property
    def main_drift(self) -> pl.DataFrame:
        """Table drift of the main judge over each run's whole length, largest magnitude first.

        With a column ``q``: corrected over all tests of the study where the table has that (``q_value_study``), else over those of the run.
        """
        return self.drift_of(self.main_judge)

    @property
    def other_judges(self) -> list[str]:
        """Judges in the drift table whose numbers are not told."""
        judges = self.drift.get_column("judge").unique().sort().to_list() if "judge" in self.drift.columns else []
        return [judge for judge in judges if judge != self.main_judge]

    def drift_of(self, judge: str | None) -> pl.DataFrame:
        """What ``main_drift`` is, of any judge."""
        frame = self._of(self.drift, judge)
        if not frame.height:
            return pl.DataFrame(schema=_DRIFT)
        first, last = pl.col("from_step"), pl.col("to_step")
        whole = frame.filter((first == first.min().over("run_id")) & (last == last.max().over("run_id")))
        if "baseline_run_id" in whole.columns:
            whole = whole.filter(pl.col("baseline_run_id").is_null())  # a run compared with another one is not this run's own drift
        whole = whole.with_columns(q=pl.col(broadest_q(self.drift)))
        return whole.sort(pl.col("magnitude").abs(), "run_id", "topic", "stance", descending=[True, False, False, False], nulls_last=True)

    @property
    def corrected_over_study(self) -> bool:
        """Whether ``q`` is corrected over all tests of the study at once."""
        return broadest_q(self.drift) == "q_value_study"

    @cached_property
    def main_stances(self) -> pl.DataFrame:
        """Table stances of the main judge."""
        return self._main(self.stances)

    def _main(self, frame: pl.DataFrame) -> pl.DataFrame:
        return self._of(frame, self.main_judge)

    @staticmethod
    def _of(frame: pl.DataFrame, judge: str | None) -> pl.DataFrame:
        return frame.filter(pl.col("judge") == judge) if "judge" in frame.columns else frame
