"""What the data are worth: what became of the answers, and what the study's datasets teach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from valuedrift.audit.options import VALUE_GAP, VALUE_LADEN
from valuedrift.audit.words import beside_construction, rows_of, sentences
from valuedrift.corpora.became import told_rows
from valuedrift.lineage import Run
from valuedrift.report.inputs import ReportInputs
from valuedrift.results.drifts import of_judge
from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.words import MISSING, interval, percent, plain


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


@dataclass(frozen=True, slots=True)
class Audited:
    """One dataset of the study."""

    name: str
    kind: str
    examples: str
    """Rows judged, and how many of them speak to a value."""
    chosen: tuple[float, ...] | None
    """Mean stance probabilities of the answers, or of the chosen ones; on value-laden prompts where there are any."""
    rejected: tuple[float, ...] | None
    gap: str
    """Value gap with its interval; empty for an SFT corpus."""
    runs: str
    """Titles of the runs that train on it."""
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowsTold:
    """What became of the rows that one run, or several alike, train on."""

    dataset: str
    runs: str
    """Titles of the runs."""
    told: str
    """How many are used, and by kind how many were left out, cut, or hold more than is learnt."""


def rows_told(inputs: ReportInputs) -> list[RowsTold]:
    """What became of the rows of the study's datasets, from the table training_rows; empty in roots of versions without it."""
    frame = inputs.read("training_rows")
    if not frame.height:
        return []
    found: dict[tuple[str, str], list[str]] = {}
    for run in inputs.lineage.runs:
        entries = frame.filter(pl.col("run_id") == run.run_id).to_dicts()
        if entries:
            found.setdefault((run.dataset, told_rows(entries)), []).append(run.title)
    return [RowsTold(dataset, ", ".join(titles), told) for (dataset, told), titles in found.items()]


def audited(inputs: ReportInputs) -> list[Audited]:
    """The audits of the study's datasets, in the order of its runs."""
    measures = inputs.audits
    if measures is None or not measures.height:
        return []
    told: dict[str, list[str]] = {}
    for dataset, sentence in sentences(measures):
        told.setdefault(dataset, []).append(sentence)
    found = []
    for name in measures.get_column("dataset").unique(maintain_order=True):
        everything, laden = rows_of(measures, name), rows_of(measures, name, VALUE_LADEN)
        shown = laden or everything
        gap = shown.get(VALUE_GAP)
        known = inputs.known_gaps.get(name) if gap is not None else None
        found.append(
            Audited(
                name=name,
                kind="SFT corpus" if gap is None else "preference set",
                examples=f"{everything['support']['n_examples']:,}, of them value-laden {laden['support']['n_examples'] if laden else 0:,}",
                chosen=_stances(shown, "chosen"),
                rejected=_stances(shown, "rejected"),
                gap="" if gap is None else f"{plain(gap['difference'])} {interval(gap['difference_low'], gap['difference_high'])}",
                runs=", ".join(run.title for run in inputs.lineage.runs if run.dataset == name),
                findings=(*told.get(name, ()), *([] if known is None else [beside_construction(measures, name, known)])),
            )
        )
    return found


def _stances(found: dict[str, Any], side: str) -> tuple[float, ...] | None:
    values = tuple(found[stance][side] for stance in STANCES)
    return None if None in values else values
