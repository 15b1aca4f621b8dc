"""Correct a study's trajectory and drift by what people labelled, where they labelled something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import task

from valuedrift.results.analysis import CORRECTED_TABLES as TABLES
from valuedrift.results.analysis import correction_tables
from valuedrift.tasks.analyze import parts_there, put_tables, stances_of
from valuedrift.tasks.board import board, stage
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.identity import correction_identity, key_of
from valuedrift.tasks.labels import label_keys, labelled_stances
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.workplace import Workplace


def is_labelled(work: Workplace) -> bool:
    """Whether people labelled answers of this study: then its numbers are corrected, without being asked to."""
    return bool(label_keys(work.store, work.study.study))


def _identity(work: Workplace, stances: Sequence[Reference]) -> dict[str, Any]:
    return correction_identity(work, [part.key for part in stances], label_keys(work.store, work.study.study))


def _key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work: Workplace = parameters["work"]
    key = key_of(_identity(work, parameters["stances"]))
    return key, parts_there(work.store, work.study.study, TABLES, key) is not None


@task(name="correct", task_run_name="correct", cache_key_fn=cached_by("correct", _key), **TASK)
def correct(work: Workplace, stances: Sequence[Reference]) -> Reference:
    """Put the errors that the judges make on labelled answers into the study's estimates and intervals.

    Args:
        work: What the flow's tasks share.
        stances: The stances of every checkpoint and judge.
    """
    identity, study = _identity(work, stances), work.study.study
    if there := parts_there(work.store, study, TABLES, key_of(identity)):
        return Reference.to(there[-1], reused=True)
    with stage("correct"):
        judged = stances_of(work)
        labelled = labelled_stances(work.store, study, judged.lazy())
        frames = correction_tables(judged, labelled, work.study.analysis, where=f"study {study}")
        entry = put_tables(work.store, study, TABLES, frames, identity)
        for note in frames["correction_notes"].get_column("note"):
            board().result(f"correct: {note}")
    board().settled()
    return Reference.to(entry, reused=False)
