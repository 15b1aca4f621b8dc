"""Stage ``adopt``: checkpoints that something else trained or that a server has, entered beside those that are trained here; nothing is asked yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from valuedrift.fingerprint import fingerprint
from valuedrift.storage.schemas import table_schema
from valuedrift.study import SeriesRun, ServedRun
from valuedrift.tasks.provenance import git_commit
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work

TABLES = ("checkpoints", "runs")
PHASE = "served"
"""What stands for the algorithm of such a run."""


def stages(work: StudyWork, _: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a run."""
    for run in work.plan.series:
        if run.checkpoints:
            yield _stage(work, run, as_of=fingerprint([[one.step, one.state] for one in run.checkpoints]))
    for served in work.plan.served:
        yield _stage(work, served)


def _stage(work: StudyWork, run: SeriesRun | ServedRun, as_of: str = "") -> Stage:
    def identity(_: Sequence[Reference]) -> dict[str, Any]:
        return run.identity()

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        return _frames(work, run, _watched(work, run) if isinstance(run, SeriesRun) else _served(run))

    names = {"parent_run_id": None, "model": run.run_id, "dataset": ""}
    address = Address(TABLES, {"study": work.study.study, "run_id": run.run_id})
    return Stage("adopt", address, (), identity, make, names=names, as_of=as_of)


@dataclass(frozen=True, slots=True)
class _Told:
    """What is told of a run: the cells of its row, and where each checkpoint lies."""

    phase: str
    total_steps: int
    paths: Mapping[int, str]
    fingerprints: Mapping[int, str]
    adapters: Mapping[int, bool]
    data: str = ""
    after: str | None = None


def _served(run: ServedRun) -> _Told:
    """Of a run whose checkpoints a server has."""
    return _Told(
        PHASE,
        run.steps[-1],
        {step: json.dumps({"served": run.models[step]}, ensure_ascii=False) for step in run.steps},
        {step: run.fingerprint(step) for step in run.steps},
        dict.fromkeys(run.steps, False),
    )


def _watched(work: StudyWork, run: SeriesRun) -> _Told:
    """Of a series."""
    series, found = run.series, {one.step: one for one in run.checkpoints}
    return _Told(
        series.phase,
        series.length or work.watch.length(run.run_id) or run.steps[-1],
        {step: json.dumps({"watched": one.name}, ensure_ascii=False) for step, one in found.items()},
        {step: one.fingerprint() for step, one in found.items()},
        {step: one.adapter() for step, one in found.items()},
        series.data,
        series.after,
    )


def _frames(work: StudyWork, run: SeriesRun | ServedRun, told: _Told) -> Frames:
    """The rows of checkpoints and runs."""
    study, now = {"study": work.study.study, "run_id": run.run_id}, datetime.now(UTC)
    checkpoints = [
        {
            **study,
            "step": step,
            "path": told.paths[step],
            "fingerprint": told.fingerprints[step],
            "adapter": told.adapters[step],
            "train_loss": None,
            "held_out_loss": None,
        }
        for step in run.steps
    ]
    summary = {
        **study,
        "parent_run_id": told.after,
        "model": run.run_id,
        "phase": told.phase,
        "dataset": told.data,
        "seed": work.study.seed,
        "total_steps": told.total_steps,
        "config": json.dumps({"identity": run.identity()}, sort_keys=True, ensure_ascii=False),
        "fingerprint": fingerprint(run.identity()),
        "git_commit": git_commit(),
        "started": now,
        "ended": now,
    }
    rows: dict[str, list[dict[str, Any]]] = {"checkpoints": checkpoints, "runs": [summary]}
    return {table: pl.DataFrame(content, schema=table_schema(table).polars, infer_schema_length=None) for table, content in rows.items()}
