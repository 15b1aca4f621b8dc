"""Stage ``analyze``: a study's trajectory and drift with intervals, and what to know before trusting them, from the stances that its plan names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from valuedrift.results.analysis import analysis_tables, cut_answers
from valuedrift.results.facts import ANALYSED as TABLES
from valuedrift.tasks.board import shown
from valuedrift.tasks.stage import Address, Frames, Reference, Stage
from valuedrift.tasks.work import StudyWork, Work

ANALYSIS_VERSION = 2
"""Raised when the statistics change their numbers."""


def stages(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage, made of the stances of every checkpoint and judge."""
    judged = tuple(stage for stage in listed if stage.name == "judge")

    def identity(stances: Sequence[Reference]) -> dict[str, Any]:
        return analysis_identity(work, [part.key for part in stances])

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        with shown("analyze"):
            cut = cut_answers(work.store.scan("responses", study=work.study.study, run_id=[run.run_id for run in work.plan.sampled]))
            return analysis_tables(stances_of(work), work.study.analysis, cut=cut)

    yield Stage("analyze", Address(TABLES, {"study": work.study.study}), judged, identity, make)


def analysis_identity(work: StudyWork, stance_keys: Sequence[str]) -> dict[str, Any]:
    """Identity of a study's analysis."""
    return {
        "stage": "analyze",
        "version": ANALYSIS_VERSION,
        "stances": sorted(stance_keys),
        "analysis": work.study.analysis.model_dump(mode="json"),
    }


def stances_of(work: StudyWork) -> pl.DataFrame:
    """Stances of the planned runs, steps and judges; older runs of the study are left out."""
    planned = pl.DataFrame(
        [{"run_id": run.run_id, "step": step} for run in work.plan.sampled for step in run.steps],
        schema={"run_id": pl.String, "step": pl.Int64},
    )
    judges = [judge.name for judge in work.study.judges]
    frame = work.store.read("stances", study=work.study.study, judge=judges)
    return frame.join(planned, on=["run_id", "step"], how="semi")
