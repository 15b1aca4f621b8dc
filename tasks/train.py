"""Train one phase in a child process, and keep its runs, checkpoints and training rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from prefect import task

from valuedrift.storage.schemas import table_schema
from valuedrift.study import RunPlan
from valuedrift.tasks.board import board, stage
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.identity import key_of, train_identity
from valuedrift.tasks.provenance import git_commit
from valuedrift.tasks.reference import Trained
from valuedrift.tasks.workplace import Workplace
from valuedrift.training.job import Checkpoint, TrainJob, TrainResult
from valuedrift.weights import Weights


def _key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work, run = parameters["work"], parameters["work"].plan.run(parameters["run_id"])
    key = key_of(train_identity(work, run, _parent(work, run, parameters["parent"])[1]))
    return f"{run.run_id}-{key}", finished(work, run, key) is not None


@task(name="train", task_run_name="train {run_id}", cache_key_fn=cached_by("train", _key), **TASK)
def train(work: Workplace, run_id: str, parent: Trained | None) -> Trained:
    """Train one phase from its parent's last checkpoint; served from the store when it was done before, resumed when it was killed.

    Args:
        work: What the flow's tasks share.
        run_id: The phase.
        parent: Its parent's checkpoints; None starts from the base model.

    Raises:
        UserError: A fault in the data or the model.
        StageError: The training died.
    """
    run = work.plan.run(run_id)
    weights, fingerprint = _parent(work, run, parent)
    identity = train_identity(work, run, fingerprint)
    key = key_of(identity)
    with work.lock(f"train {key}"):
        done = finished(work, run, key)
        if done is not None:
            return done
        started = datetime.now(UTC)
        result = _train(work, run, weights, key)
        _keep(work, run, key, identity, result, started)
        board().settled()
        return Trained(run_id=run_id, key=key, checkpoints=result.checkpoints, reused=False)


def finished(work: Workplace, run: RunPlan, key: str) -> Trained | None:
    """The phase's checkpoints if it ended before with this identity and its weights still lie where they were put."""
    partition = {"study": work.study.study, "run_id": run.run_id}
    entry = work.store.entry("runs", partition)
    kept = work.store.entry("checkpoints", partition)
    if entry is None or kept is None or entry.key != key or kept.key != key:
        return None
    rows = work.store.read_entry(kept).sort("step").iter_rows(named=True)
    checkpoints = tuple(
        Checkpoint(
            step=row["step"],
            weights=Weights.model_validate_json(row["path"]),
            adapter=row["adapter"],
            fingerprint=row["fingerprint"],
            train_loss=row["train_loss"],
        )
        for row in rows
    )
    if not all(_lies(checkpoint.weights) for checkpoint in checkpoints):
        return None
    return Trained(run_id=run.run_id, key=key, checkpoints=checkpoints, reused=True)


def _lies(weights: Weights) -> bool:
    return all(any(Path(folder).glob("*.safetensors")) for folder in (weights.base, *weights.adapters))


def _parent(work: Workplace, run: RunPlan, parent: Trained | None) -> tuple[Weights, str]:
    if parent is None:
        return work.base(run.model)
    return parent.last.weights, parent.last.fingerprint


def _train(work: Workplace, run: RunPlan, weights: Weights, key: str) -> TrainResult:
    runtime = work.study.runtime
    corpus = work.corpus(run.dataset, run.kind)
    job = TrainJob(
        weights=weights,
        algorithm=run.algorithm,
        dataset=corpus.path,
        schedule=work.study.checkpoints,
        seed=run.seed,
        out=work.checkpoints_folder(key),
        threads=runtime.worker_threads(),
        device=runtime.device,
        micro_batch=runtime.micro_batch,
    )
    result = work.pool.run(
        lambda _: job, shown=lambda: stage(f"train {run.run_id}"), timeout=60 * runtime.timeout_minutes, fresh=True, priority=0
    )
    return TrainResult.model_validate(result)


def _keep(work: Workplace, run: RunPlan, key: str, identity: dict[str, Any], result: TrainResult, started: datetime) -> None:
    study = {"study": work.study.study, "run_id": run.run_id}
    training = [{**study, **row.model_dump()} for row in result.metrics]
    checkpoints = [
        {
            **study,
            "step": checkpoint.step,
            "path": checkpoint.weights.model_dump_json(),
            "fingerprint": checkpoint.fingerprint,
            "adapter": checkpoint.adapter,
            "train_loss": checkpoint.train_loss,
        }
        for checkpoint in result.checkpoints
    ]
    rows = work.corpus(run.dataset, run.kind).rows
    config = {
        "algorithm": run.algorithm.model_dump(mode="json"),
        "dataset": run.dataset.model_dump(mode="json"),
        "rows": result.rows,
        "left_out": {**rows.dropped, "too long": result.dropped_rows},
        "cut_rows": result.cut_rows,
        "reward_accuracy": result.reward_accuracy,
        "identity": identity,
    }
    summary = {
        **study,
        "parent_run_id": run.parent_run_id,
        "model": run.model_name,
        "phase": run.phase,
        "dataset": run.dataset_name,
        "seed": run.seed,
        "total_steps": result.total_steps,
        "config": json.dumps(config, sort_keys=True, ensure_ascii=False),
        "fingerprint": key,
        "git_commit": git_commit(),
        "started": started,
        "ended": datetime.now(UTC),
    }
    # the runs row is written last: it says that the phase is finished
    for table, content in (("training", training), ("checkpoints", checkpoints), ("runs", [summary])):
        frame = pl.DataFrame(content, schema=table_schema(table).polars, infer_schema_length=None)
        work.store.put(table, frame, partition=study, key=key, identity=identity)
