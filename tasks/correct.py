"""Correct a study's trajectory and drift by what people labelled, where they labelled something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from prefect import task

from valuedrift.drift.corrected import Correction
from valuedrift.drift.corrected import corrected as compute
from valuedrift.judges.files import judgements_of
from valuedrift.judges.quality.validation import Validation, validate
from valuedrift.labels.agree import labellers_agree
from valuedrift.labels.settle import ANSWER
from valuedrift.report.inputs import PeoplesLabels
from valuedrift.storage.schemas import table_schema
from valuedrift.storage.store import Part
from valuedrift.tasks.analyze import stances_of
from valuedrift.tasks.board import board, stage
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.identity import correction_identity, key_of
from valuedrift.tasks.labels import label_keys, labelled_stances
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.workplace import Workplace

TABLE = "drift_corrected"
"""Written last of the two tables: where it lies, both do."""


def is_labelled(work: Workplace) -> bool:
    """Whether people labelled answers of this study: then its numbers are corrected, without being asked to."""
    return bool(label_keys(work.store, work.study.study))


def _identity(work: Workplace, stances: Sequence[Reference]) -> dict[str, Any]:
    return correction_identity(work, [part.key for part in stances], label_keys(work.store, work.study.study))


def _key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work: Workplace = parameters["work"]
    key = key_of(_identity(work, parameters["stances"]))
    entry = work.store.entry(TABLE, {"study": work.study.study})
    return key, entry is not None and entry.key == key and work.store.exists(entry)


@task(name="correct", task_run_name="correct", cache_key_fn=cached_by("correct", _key), **TASK)
def correct(work: Workplace, stances: Sequence[Reference]) -> Reference:
    """Put the errors that the judges make on labelled answers into the study's estimates and intervals.

    Args:
        work: What the flow's tasks share.
        stances: The stances of every checkpoint and judge.
    """
    identity = _identity(work, stances)
    key, partition = key_of(identity), {"study": work.study.study}
    here = work.store.entry(TABLE, partition)
    if here is not None and here.key == key and work.store.exists(here):
        return Reference.to(here, reused=True)
    with stage("correct"):
        found = correction_of(work)
        parts = []
        for table, frame in (("trajectory_corrected", found.trajectory), (TABLE, found.drift)):
            columns = [pl.col(name).cast(kind) for name, kind in table_schema(table).polars.items()]
            parts.append(Part(table, frame.select(columns), partition, key, identity))
        entry = work.store.put_all(parts)[-1]
        for note in found.notes:
            board().result(f"correct: {note}")
    board().settled()
    return Reference.to(entry, reused=False)


def correction_of(work: Workplace) -> Correction:
    """What people's labels make of the stances that the study's plan names."""
    stances = stances_of(work)
    return _correction(work, stances, labelled_stances(work.store, work.study.study, stances.lazy()))


def labels_of(work: Workplace) -> PeoplesLabels | None:
    """What a report tells of people's labels; None where there are none."""
    if not is_labelled(work):
        return None
    store, study, stances = work.store, work.study.study, stances_of(work)
    labelled = labelled_stances(store, study, stances.lazy())
    settled = labelled.filter(pl.col("label").is_not_null()).unique(["judge", *ANSWER], keep="first", maintain_order=True)
    found = _correction(work, stances, labelled)
    given = store.read("labels", study=study)
    return PeoplesLabels(
        corrected=found.drift,
        notes=found.notes,
        labellers=dict(given["labeller"].value_counts().sort("labeller").iter_rows()),
        validations={str(judge): _validated(rows) for (judge,), rows in settled.group_by("judge", maintain_order=True)},
        agreement=labellers_agree(store.read("label_draws", study=study), given, confidence=work.study.analysis.confidence),
    )


def _correction(work: Workplace, stances: pl.DataFrame, labelled: pl.DataFrame) -> Correction:
    return compute(stances, labelled, work.study.analysis, where=f"study {work.study.study}")


def _validated(rows: pl.DataFrame) -> Validation:
    return validate(judgements_of(rows), rows["label"].to_list(), rows["prompt_id"].to_list(), row_weights=rows["weight"].to_list())
