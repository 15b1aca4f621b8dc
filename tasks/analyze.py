"""Turn a study's stances into the tables of its analysis: trajectory and drift with intervals, and what to know before trusting them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from prefect import task

from valuedrift.results.analysis import TABLES, analysis_tables, cut_answers
from valuedrift.storage.manifest import Entry
from valuedrift.storage.schemas import table_schema
from valuedrift.storage.store import Part, Store
from valuedrift.tasks.board import board, stage
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.identity import analysis_identity, key_of
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.workplace import Workplace


def parts_there(store: Store, study: str, tables: Sequence[str], key: str) -> list[Entry] | None:
    """A study's parts of some tables, if all lie there under one key."""
    entries = [store.entry(table, {"study": study}) for table in tables]
    found = [entry for entry in entries if entry is not None and entry.key == key and store.exists(entry)]
    return found if len(found) == len(tables) else None


def put_tables(store: Store, study: str, tables: Sequence[str], frames: Mapping[str, pl.DataFrame], identity: Mapping[str, Any]) -> Entry:
    """Write a study's parts of some tables in one commit; those that lie there under the same key stay as they are."""
    key, partition = key_of(dict(identity)), {"study": study}
    parts = []
    for table in tables:
        schema, frame = table_schema(table).polars, frames[table]
        columns = [pl.col(name).cast(kind) for name, kind in schema.items() if name in frame.columns]
        parts.append(Part(table, frame.select(columns), partition, key, identity))
    return store.put_all(parts)[-1]


def _key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work: Workplace = parameters["work"]
    key = key_of(analysis_identity(work, [stances.key for stances in parameters["stances"]]))
    return key, parts_there(work.store, work.study.study, TABLES, key) is not None


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
    study = work.study.study
    if there := parts_there(work.store, study, TABLES, key_of(identity)):
        return Reference.to(there[-1], reused=True)
    with stage("analyze"):
        if parts_there(work.store, study, ("trajectory", "drift"), key_of(identity)):
            board().result("analyze: drift was made by version 0.2; the other tables that a report reads are made from the stances")
        cut = cut_answers(work.store.scan("responses", study=study, run_id=[run.run_id for run in work.plan.runs]))
        entry = put_tables(work.store, study, TABLES, analysis_tables(stances_of(work), work.study.analysis, cut=cut), identity)
    board().settled()
    return Reference.to(entry, reused=False)


def stances_of(work: Workplace) -> pl.DataFrame:
    """Stances of the planned runs, steps and judges; older runs of the study are left out."""
    planned = pl.DataFrame(
        [{"run_id": run.run_id, "step": step} for run in work.plan.runs for step in run.steps],
        schema={"run_id": pl.String, "step": pl.Int64},
    )
    judges = [judge.name for judge in work.study.judges]
    frame = work.store.read("stances", study=work.study.study, judge=judges)
    return frame.join(planned, on=["run_id", "step"], how="semi")
