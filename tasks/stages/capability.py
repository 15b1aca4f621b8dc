"""Stages ``capability`` and ``compare``: tasks put to checkpoints in a child process that holds their weights already, and what changed of the scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.capability.changes import CHANGES_VERSION, changes
from valuedrift.capability.job import CapabilityJob
from valuedrift.capability.options import Capability, CapabilityTask
from valuedrift.engines.base import EngineTuning
from valuedrift.errors import UserError
from valuedrift.tasks.board import shown, tell
from valuedrift.tasks.result import Address, Frames, Reference, check_there
from valuedrift.tasks.stage import Stage, named_by
from valuedrift.tasks.stages.at_checkpoint import Checkpoint, checkpoints
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work

TABLES = ("capabilities", "capability_items")
CHANGES = "capability_changes"
CAPABILITY_VERSION = 1
"""Raised when the same weights, task and engine would give other scores."""


def stages(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a checkpoint and task, of the checkpoints that the study names; none where it names no tasks.

    Raises:
        UserError: No run has a checkpoint at a step that is named.
    """
    capability = work.study.capability
    if capability is None:
        return
    there = list(checkpoints(work, listed))
    _check_steps(work, capability, there)
    for checkpoint in there:
        if _is_meant(work, capability, checkpoint, [one.step for one in there if one.run_id == checkpoint.run_id]):
            for task in capability.tasks:
                yield _stage(work, checkpoint, task)


def comparisons(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage, made of all scores; none where no task is put."""
    scored = tuple(stage for stage in listed if stage.name == "capability" and stage.run_id not in work.given_up)
    if not scored:
        return

    def identity(scores: Sequence[Reference]) -> dict[str, Any]:
        keys = sorted(part.key for part in scores)
        return {"stage": "compare", "version": CHANGES_VERSION, "capabilities": keys, "confidence": work.analysis.confidence}

    def make(_: Work, scores: Sequence[Reference]) -> Frames:
        with shown("compare"):
            found = changes(_of_parts(work, "capabilities", scores), _of_parts(work, "capability_items", scores), work.analysis.confidence)
        check_there(work, scores)
        moved = found.filter(pl.col("q_value") < 1 - work.analysis.confidence).height
        tell(f"{moved} of {found.height} abilities changed")
        return {CHANGES: found}

    yield Stage("compare", Address((CHANGES,), {"study": work.name}), scored, identity, make, named=named_by(scored))


def _check_steps(work: StudyWork, capability: Capability, there: Sequence[Checkpoint]) -> None:
    known = sorted({one.step for one in there})
    if isinstance(capability.steps, str) or work.growing or not all(run.steps for run in work.plan.sampled):
        return
    for step in capability.steps:
        if step not in known:
            fix = f"checkpoints are at {', '.join(map(str, known))}; `checkpoints:` says which there are"
            raise UserError(f"no run has a checkpoint at step {step}", where="capability.steps", fix=fix)


def _is_meant(work: StudyWork, capability: Capability, checkpoint: Checkpoint, steps: Sequence[int]) -> bool:
    """Whether a checkpoint, of all of its run, is one that the tasks are put to. Which is the last of a series is known when no more can come."""
    if capability.steps == "all":
        return True
    if capability.steps == "ends":
        open_ended = checkpoint.run_id in work.study.series and work.growing
        return checkpoint.step == min(steps) or (checkpoint.step == max(steps) and not open_ended)
    return checkpoint.step in capability.steps


def capability_identity(work: StudyWork, weights: str, task: dict[str, Any]) -> dict[str, Any]:
    """Identity of a checkpoint's scores: weights, the task with its items, engine with version and dtype; neither run nor step nor the task's name.

    Args:
        work: The study and where it works.
        weights: Fingerprint of the weights.
        task: Identity of the task.
    """
    return {"stage": "capability", "capability": CAPABILITY_VERSION, "weights": weights, "task": task, **work.study.drawing_identity()}


def _stage(work: StudyWork, checkpoint: Checkpoint, task: CapabilityTask) -> Stage:
    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        return capability_identity(work, checkpoint.weights(needs)[1], work.task(task).identity)

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        return _scored(work, checkpoint, task, needs)

    address = Address(TABLES, {"study": work.name, "run_id": checkpoint.run_id, "step": checkpoint.step}, task.title)
    return Stage(
        "capability",
        address,
        checkpoint.needs,
        identity,
        make,
        on="gpu",
        urgency=checkpoint.urgency,
        names={"task": task.title, **({"subtask": task.title} if task.own else {})},
        opens=checkpoint.opens,
        as_of=checkpoint.as_of,
    )


def _scored(work: StudyWork, checkpoint: Checkpoint, task: CapabilityTask, needs: Sequence[Reference]) -> Frames:
    """Scores of one checkpoint on one task."""
    runtime, study = work.runtime, work.study
    bring, content = checkpoint.weights(needs)
    weights = bring()
    engine = study.engine_name

    def job(folder: Path) -> CapabilityJob:
        return CapabilityJob(
            task=task,
            content=work.task(task).fingerprint,
            engine=engine,
            dtype=study.dtype,
            weights=weights,
            fingerprint=content,
            scores=folder / "scores.parquet",
            items=folder / "items.parquet",
            threads=runtime.worker_threads(),
            device=runtime.device,
            cache_tokens=runtime.cache_tokens,
            tuning=EngineTuning(**runtime.tuning),
        )

    def collect(folder: Path, _: dict[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
        return pl.read_parquet(folder / "scores.parquet"), pl.read_parquet(folder / "items.parquet")

    where = f"{checkpoint.run_id} step {checkpoint.step}"
    scores, items = work.pool.run(
        job,
        shown=lambda: shown(f"capability {where} {task.title}", work.progress_key("capability", checkpoint.run_id)),
        timeout=60 * runtime.timeout_minutes,
        priority=1,
        keeps=f"{engine} {study.dtype} {weights.base}",
        collect=collect,
    )
    whole = scores.row(-1, named=True)
    tell(f"{where}, {task.title}: {whole['metric']} {whole['score']:.3f}")
    place = {"task": task.title, "run_id": checkpoint.run_id, "step": checkpoint.step}
    return {
        table: frame.with_columns(pl.lit(value).alias(name) for name, value in place.items())
        for table, frame in zip(TABLES, (scores, items), strict=True)
    }


def _of_parts(work: StudyWork, table: str, parts: Sequence[Reference]) -> pl.DataFrame:
    """The rows of some parts of a table, all of this study; its older runs and other tasks are left out."""
    wanted = pl.DataFrame(
        [{"run_id": part.partition["run_id"], "step": part.partition["step"], "task": part.slot} for part in parts],
        schema={"run_id": pl.String, "step": pl.Int64, "task": pl.String},
    )
    return work.store.read(table, study=work.name).join(wanted, on=["run_id", "step", "task"], how="semi")
