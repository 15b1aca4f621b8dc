"""Stage ``adopt``: the checkpoints of a run that a server has, entered beside those that are trained here; nothing is asked yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from valuedrift.fingerprint import fingerprint
from valuedrift.storage.schemas import table_schema
from valuedrift.study import ServedRun
from valuedrift.tasks.provenance import git_commit
from valuedrift.tasks.stage import Address, Frames, Reference, Stage
from valuedrift.tasks.work import StudyWork, Work

TABLES = ("checkpoints", "runs")
PHASE = "served"
"""What stands for the algorithm of such a run."""


def stages(work: StudyWork, _: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a run."""
    for run in work.plan.served:
        yield _stage(work, run)


def _stage(work: StudyWork, run: ServedRun) -> Stage:
    def identity(_: Sequence[Reference]) -> dict[str, Any]:
        return run.identity()

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        return _frames(work, run)

    names = {"parent_run_id": None, "model": run.run_id, "dataset": ""}
    return Stage("adopt", Address(TABLES, {"study": work.study.study, "run_id": run.run_id}), (), identity, make, names=names)


def _frames(work: StudyWork, run: ServedRun) -> Frames:
    """The rows of checkpoints and runs."""
    study, now = {"study": work.study.study, "run_id": run.run_id}, datetime.now(UTC)
    checkpoints = [
        {
            **study,
            "step": step,
            "path": json.dumps({"served": run.models[step]}, ensure_ascii=False),
            "fingerprint": run.fingerprint(step),
            "adapter": False,
            "train_loss": None,
        }
        for step in run.steps
    ]
    summary = {
        **study,
        "parent_run_id": None,
        "model": run.run_id,
        "phase": PHASE,
        "dataset": "",
        "seed": work.study.seed,
        "total_steps": run.steps[-1],
        "config": json.dumps({"identity": run.identity()}, sort_keys=True, ensure_ascii=False),
        "fingerprint": fingerprint(run.identity()),
        "git_commit": git_commit(),
        "started": now,
        "ended": now,
    }
    rows: dict[str, list[dict[str, Any]]] = {"checkpoints": checkpoints, "runs": [summary]}
    return {table: pl.DataFrame(content, schema=table_schema(table).polars, infer_schema_length=None) for table, content in rows.items()}
