"""Stage ``correct``: a study's trajectory and drift corrected by what people labelled, where they labelled something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from valuedrift.results.analysis import correction_tables
from valuedrift.results.facts import CORRECTED as TABLES
from valuedrift.tasks.board import shown, tell
from valuedrift.tasks.labels import label_keys, labelled_stances
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.stage import Stage, named_by
from valuedrift.tasks.stages.analyze import stances_of
from valuedrift.tasks.stances_work import StancesWork
from valuedrift.tasks.work import Work

CORRECTION_VERSION = 1
"""Raised when what labels make of the numbers changes."""


def stages(work: StancesWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage where people labelled answers of this study: then its numbers are corrected, without being asked to."""
    store, study = work.store, work.name
    labels = label_keys(store, study)
    if not labels or not any(stage.name == "analyze" for stage in listed):
        return
    judged = tuple(stage for stage in listed if stage.name == "judge")
    given = sum(entry.rows for entry in store.entries("labels", study))

    def identity(stances: Sequence[Reference]) -> dict[str, Any]:
        return correction_identity(work, [part.key for part in stances], labels)

    def make(_: Work, parts: Sequence[Reference]) -> Frames:
        with shown("correct"):
            stances = stances_of(work, parts)
            labelled = labelled_stances(store, study, stances.lazy())
            frames = correction_tables(stances, labelled, work.analysis, where=f"study {study}")
            for note in frames["correction_notes"].get_column("note"):
                tell(f"correct: {note}")
            return frames

    yield Stage(
        "correct",
        Address(TABLES, {"study": study}),
        judged,
        identity,
        make,
        named=named_by(judged),
        remark=f"people labelled answers: {given} labels",
    )


def correction_identity(work: StancesWork, stance_keys: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Identity of the tables that people's labels correct: the stances, the labels, how sure, and what the stance is taken on."""
    return {
        "stage": "correct",
        "version": CORRECTION_VERSION,
        "stances": sorted(stance_keys),
        "labels": sorted(labels),
        "analysis": work.analysis.model_dump(mode="json", include={"confidence", "towards"}),
    }
