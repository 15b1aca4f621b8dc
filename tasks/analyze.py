"""Turn a study's stances into its trajectory and drift tables, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from prefect import task

from valuedrift.drift.analyze import Drift
from valuedrift.drift.analyze import analyze as compute
from valuedrift.storage.schemas import table_schema
from valuedrift.tasks.board import board, stage
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.identity import analysis_identity, key_of
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.workplace import Workplace


def _key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work: Workplace = parameters["work"]
    key = key_of(analysis_identity(work, [stances.key for stances in parameters["stances"]]))
    entry = work.store.entry("drift", {"study": work.study.study})
    return key, entry is not None and entry.key == key and work.store.exists(entry)


@task(name="analyze", task_run_name="analyze", cache_key_fn=cached_by("analyze", _key), **TASK)
def analyze(work: Workplace, stances: Sequence[Reference]) -> Reference:
    """Compute trajectories and drifts of a study from the stances that its plan names.

    Args:
        work: What the flow's tasks share.
        stances: The stances of every checkpoint and judge.

    Raises:
        DataError: The stances don't allow an analysis.
    """
    identity = analysis_identity(work, [part.key for part in stances])
    key = key_of(identity)
    partition = {"study": work.study.study}
    here = work.store.entry("drift", partition)
    if here is not None and here.key == key and work.store.exists(here):
        return Reference.to(here, reused=True)
    with stage("analyze"):
        drift = drift_of(work)
        for table, frame in (("trajectory", drift.trajectory), ("drift", drift.drift)):
            schema = table_schema(table).polars
            columns = frame.select(pl.col(name).cast(kind) for name, kind in schema.items())
            entry = work.store.put(table, columns, partition=partition, key=key, identity=identity)
    board().settled()
    return Reference.to(entry, reused=False)


def drift_of(work: Workplace) -> Drift:
    """The full analysis of the stances that the study's plan names (older runs of the study are left out)."""
    return compute(stances_of(work), work.study.analysis)


def stances_of(work: Workplace) -> pl.DataFrame:
    """Stances of the planned runs, steps and judges."""
    planned = pl.DataFrame(
        [{"run_id": run.run_id, "step": step} for run in work.plan.runs for step in run.steps],
        schema={"run_id": pl.String, "step": pl.Int64},
    )
    judges = [judge.name for judge in work.study.judges]
    frame = work.store.read("stances", study=work.study.study, judge=judges)
    return frame.join(planned, on=["run_id", "step"], how="semi")
