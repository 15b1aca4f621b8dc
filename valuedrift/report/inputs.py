"""What a report is made of: the tables of one study, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import polars as pl
import yaml

from valuedrift.corpora.dataset import STARTER
from valuedrift.lineage import Lineage, trace_lineage
from valuedrift.results.drifts import broadest_q, of_judge, told_drifts
from valuedrift.results.quality import TABLES as QUALITY_TABLES
from valuedrift.results.quality import Figures, figures_of
from valuedrift.starter import gap_by_construction

_NONE: Mapping[str, Any] = MappingProxyType({})
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
Reader = Callable[[str], pl.DataFrame]
"""From the name of a table to its rows of one study."""


@dataclass(frozen=True)
class PeoplesLabels:
    """What people labelled of a study's answers, and what that makes of its numbers.

    Attributes:
        corrected: Table drift_corrected.
        notes: What is not corrected, and why.
        labellers: Labels by who gave them.
        figures: Each judge against the labels, by its name; a label counts for as many answers as it stands for.
        agreement: Table agreement among labellers; empty where no two labelled one answer.
    """

    corrected: pl.DataFrame
    notes: Sequence[str]
    labellers: Mapping[str, int]
    figures: Mapping[str, Figures]
    agreement: pl.DataFrame


@dataclass(frozen=True)
class ReportInputs:
    """Everything that the page, its Markdown version and the figures read. All text in it is untrusted.

    The columns of the frames are those of the tables (docs/tables.md); those without a description are the table of their name.
    """

    study_name: str
    description: str
    runs: pl.DataFrame
    training: pl.DataFrame
    trajectory: pl.DataFrame
    drift: pl.DataFrame
    coverage: pl.DataFrame
    acquiescence: pl.DataFrame
    sensitivity: pl.DataFrame
    findings: pl.DataFrame
    examples: pl.DataFrame
    agreement: pl.DataFrame
    """Table agreement, among judges."""
    judge_metrics: Sequence[Figures] = ()
    """A judge's figures on a set of labelled answers, see `valuedrift.results.quality`; whatever is absent is shown as not measured."""
    warnings: Sequence[str] = ()
    provenance: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _NONE)
    """Sections of name and value."""
    confidence: float = 0.95
    """Level of every interval; 1 − confidence is the level of every test."""
    propositions: Mapping[str, str] = field(default_factory=lambda: _NONE)
    """Topic to the proposition that its probes put."""
    towards: str = "question"
    """What support and oppose are of: ``question``, each as it is worded, or ``proposition``, the topic's (``analysis.towards`` of the study file)."""
    judge: str | None = None
    """Name of the judge whose numbers are told; by default the first one in the drift table."""
    known_gaps: Mapping[str, float] = field(default_factory=dict)
    """Value gaps by construction of the packaged preference sets among the study's datasets."""
    auditor: str | None = None
    """The judge that audited the study's datasets; None where they were not."""
    audits: pl.DataFrame | None = None
    """Table audits of the study's datasets; None or empty where they were not audited."""
    panels: Mapping[str, Sequence[str]] = field(default_factory=lambda: _NONE)
    """Judges that are made of others, with their members."""
    checkpoints: pl.DataFrame = field(default_factory=pl.DataFrame)
    labels: PeoplesLabels | None = None
    """What people say of the study's answers; None where nobody was asked."""
    read: Reader = field(default=lambda _: pl.DataFrame(), repr=False)
    """Reads any other table of the study, for sections of one's own."""

    @property
    def alpha(self) -> float:
        """Level of the tests: a drift with q below it counts as more than noise."""
        return round(1.0 - self.confidence, 10)

    @cached_property
    def main_judge(self) -> str | None:
        """The judge whose numbers are told, None where nothing was judged."""
        if self.judge is not None:
            return self.judge
        for frame in (self.drift, self.trajectory):
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
        names = self.trajectory.get_column("topic").unique().to_list() if self.trajectory.height else []
        return sorted(names, key=lambda topic: (topic.casefold(), topic))

    @cached_property
    def main_trajectory(self) -> pl.DataFrame:
        """Table trajectory of the main judge, sorted by run, topic, stance, step."""
        frame = self.trajectory if self.trajectory.height else pl.DataFrame(schema=_TRAJECTORY)
        return of_judge(frame, self.main_judge).sort("run_id", "topic", "stance", "step")

    @cached_property
    def main_drift(self) -> pl.DataFrame:
        """The drifts of the main judge, see `valuedrift.results.drifts.told_drifts`."""
        return self.drift_of(self.main_judge)

    @property
    def other_judges(self) -> list[str]:
        """Judges in the drift table whose numbers are not told."""
        judges = self.drift.get_column("judge").unique().sort().to_list() if "judge" in self.drift.columns else []
        return [judge for judge in judges if judge != self.main_judge]

    def drift_of(self, judge: str | None) -> pl.DataFrame:
        """What ``main_drift`` is, of any judge."""
        return told_drifts(self.drift, judge)

    @property
    def corrected_over_study(self) -> bool:
        """Whether ``q`` is corrected over all tests of the study at once."""
        return broadest_q(self.drift) == "q_value_study"


def read_inputs(read: Reader) -> ReportInputs:
    """What a report of a finished study is made of.

    Args:
        read: Gives the rows of a table of this study, empty where there are none: ``lambda table: store.read(table, study=name)``.

    Raises:
        IndexError: The table studies has no row: the study is not concluded.
    """
    study = read("studies").row(0, named=True)
    coverage = read("coverage")
    run_ids = coverage.get_column("run_id").unique().to_list()  # of the study as it is planned; older runs may lie beside them
    runs = read("runs").filter(pl.col("run_id").is_in(run_ids))
    quality = {name: read(name) for name in QUALITY_TABLES}
    agreement = read("agreement")
    provenance: dict[str, dict[str, str]] = {}
    for section, name, value in read("provenance").sort("entry_idx").select("section", "name", "value").iter_rows():
        provenance.setdefault(section, {})[name] = value
    figures = figures_of(quality)
    return ReportInputs(
        study_name=study["study"],
        description=study["description"],
        runs=runs,
        training=read("training").filter(pl.col("run_id").is_in(run_ids)),
        trajectory=read("trajectory"),
        drift=read("drift"),
        coverage=coverage,
        acquiescence=read("acquiescence"),
        sensitivity=read("sensitivity"),
        findings=read("findings").sort("finding_idx"),
        examples=read("examples"),
        agreement=agreement.filter(pl.col("among") == "judges").sort("entry_idx"),
        judge_metrics=figures,
        warnings=read("warnings").sort("warning_idx").get_column("warning").to_list(),
        provenance={**provenance, **({"Study file": {"yaml": study["file"]}} if study["file"] else {})},
        confidence=study["confidence"],
        propositions=json.loads(study["propositions"]),
        towards=_towards(study["file"]),
        judge=study["judge"],
        auditor=study["auditor"],
        audits=_audits(read, runs, study["auditor"]),
        known_gaps=_known_gaps(study["file"]),
        panels=json.loads(study["panels"]),
        checkpoints=_of_runs(read("checkpoints"), run_ids),
        labels=_labels(read, quality, agreement),
        read=read,
    )


def _of_runs(frame: pl.DataFrame, run_ids: Sequence[str]) -> pl.DataFrame:
    return frame.filter(pl.col("run_id").is_in(run_ids)) if frame.height else frame


def _towards(file: str) -> str:
    """What the study file takes stances on."""
    said = (yaml.safe_load(file) or {}).get("analysis") or {}
    return str(said.get("towards", "question"))


def _known_gaps(file: str) -> dict[str, float]:
    """What the packaged preference sets that the study file names were written to have."""
    said = (yaml.safe_load(file) or {}).get("preferences") or {}
    places = {name: str(dataset.get("data")) for name, dataset in said.items()}
    gaps = {name: gap_by_construction(place.removeprefix(STARTER)) for name, place in places.items() if place.startswith(STARTER)}
    return {name: gap for name, gap in gaps.items() if gap is not None}


def _audits(read: Reader, runs: pl.DataFrame, auditor: str | None) -> pl.DataFrame:
    """The audits of what the runs train on: corpora first, then preference sets, in the order of the runs."""
    place = {name: at for at, name in enumerate(runs.get_column("dataset").unique(maintain_order=True))}
    mine = read("audits").filter(pl.col("judge").eq_missing(pl.lit(auditor)) & pl.col("dataset").is_in(list(place)))
    at = pl.col("dataset").replace_strict(place, return_dtype=pl.Int64)
    return mine.sort(pl.col("kind") != "sft", at, maintain_order=True) if mine.height else mine


def _labels(read: Reader, quality: Mapping[str, pl.DataFrame], agreement: pl.DataFrame) -> PeoplesLabels | None:
    given = read("labels")
    if not given.height:
        return None
    measured = figures_of({name: frame.filter(pl.col("origin") == "labels") for name, frame in quality.items()})
    return PeoplesLabels(
        corrected=read("drift_corrected"),
        notes=read("correction_notes").sort("note_idx").get_column("note").to_list(),
        labellers=dict(given["labeller"].value_counts().sort("labeller").iter_rows()),
        figures={str(figures["name"]): figures for figures in measured},
        agreement=agreement.filter(pl.col("among") == "labellers").sort("entry_idx"),
    )
