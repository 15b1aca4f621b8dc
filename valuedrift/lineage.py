"""Which run continues which, and what each is called on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from valuedrift.training.registry import ALGORITHMS
from valuedrift.words import visible

IMPORTED = "imported"
"""Stands for the algorithm of a run of which only stances are known."""
PHASES: Mapping[str, str] = {"served": "served", IMPORTED: IMPORTED, **{name: algorithm.title for name, algorithm in ALGORITHMS.packaged()}}
"""Phase to the way it is written; an algorithm that is not known here is written in capitals."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run with its names."""

    run_id: str
    parent_run_id: str | None
    model: str
    phase: str
    dataset: str
    label: str
    """Short and telling within its family: ``DPO support-aligned``."""
    title: str
    """Telling anywhere in the study: ``SFT neutral → DPO support-aligned``, with the model where there are several."""

    @property
    def supervised(self) -> bool:
        """Whether this is supervised fine-tuning (the paper's first phase)."""
        return self.phase == "sft"


@dataclass(frozen=True, slots=True)
class Lineage:
    """All runs of a study, parents before children."""

    runs: tuple[Run, ...]

    def __getitem__(self, run_id: str) -> Run:
        return next(run for run in self.runs if run.run_id == run_id)

    def children(self, run_id: str | None) -> list[Run]:
        """Runs that continue a run; those without a known parent for None."""
        known = {run.run_id for run in self.runs}
        return [run for run in self.runs if (run.parent_run_id if run.parent_run_id in known else None) == run_id]

    def roots(self) -> list[Run]:
        """Runs that start from a base model."""
        return self.children(None)

    def family(self, root: Run) -> list[Run]:
        """All runs that descend from a root, without it."""
        found: list[Run] = []
        for child in self.children(root.run_id):
            found += [child, *self.family(child)]
        return found

    @property
    def several_models(self) -> bool:
        """Whether the study has more than one base model."""
        return len({run.model for run in self.runs}) > 1


def trace_lineage(runs: pl.DataFrame) -> Lineage:
    """Name the runs of the runs table.

    Args:
        runs: Table runs.

    Returns:
        The runs, each parent directly before its descendants.
    """
    rows = {row["run_id"]: row for row in runs.iter_rows(named=True)}
    several = len({row["model"] for row in rows.values()}) > 1

    def label(run_id: str) -> str:
        row = rows[run_id]
        if not row["dataset"]:  # not trained here: its name is all that is known
            return run_id
        phase = PHASES.get(row["phase"], str(row["phase"]).upper())
        tail = run_id.rsplit(f"{row['phase']}-{row['dataset']}", 1)
        variant = tail[1].lstrip("-") if len(tail) == 2 else ""  # of a sweep: "beta0.5"
        return f"{phase} {row['dataset']} {variant}".rstrip()

    def title(run_id: str) -> str:
        parent = rows[run_id]["parent_run_id"]
        if parent in rows:
            return f"{title(parent)} → {label(run_id)}"
        return f"{rows[run_id]['model']}: {label(run_id)}" if several and rows[run_id]["dataset"] else label(run_id)

    ordered: list[Run] = []

    def visit(run_id: str) -> None:
        row = rows[run_id]
        ordered.append(
            Run(
                run_id,
                row["parent_run_id"],
                str(row["model"]),
                str(row["phase"]),
                str(row["dataset"]),
                visible(label(run_id)),
                visible(title(run_id)),
            )
        )
        for child in rows:
            if rows[child]["parent_run_id"] == run_id:
                visit(child)

    for run_id, row in rows.items():
        if row["parent_run_id"] not in rows:
            visit(run_id)
    return Lineage(tuple(ordered))
