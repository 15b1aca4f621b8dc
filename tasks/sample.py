"""Sample one checkpoint's answers to the probes in a child process, and keep them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from prefect import task

from valuedrift.engines.job import SampleJob
from valuedrift.fingerprint import fingerprint
from valuedrift.storage.schemas import table_schema
from valuedrift.tasks.board import board, stage
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.identity import key_of, sample_identity
from valuedrift.tasks.reference import Reference, Trained
from valuedrift.tasks.reuse import reuse
from valuedrift.tasks.workplace import Workplace
from valuedrift.training.job import Checkpoint


def _key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work, run_id, step = parameters["work"], parameters["run_id"], parameters["step"]
    key = key_of(sample_identity(work, checkpoint_of(work, run_id, step, parameters["trained"]).fingerprint))
    entry = work.store.entry("responses", partition(work, run_id, step))
    return f"{run_id}-{step}-{key}", entry is not None and entry.key == key and work.store.exists(entry)


@task(name="sample", task_run_name="sample {run_id} step {step}", cache_key_fn=cached_by("sample", _key), **TASK)
def sample(work: Workplace, run_id: str, step: int, trained: Trained | None) -> Reference:
    """Sample a checkpoint's answers, or take those that equal weights gave before.

    Args:
        work: What the flow's tasks share.
        run_id: The phase.
        step: The checkpoint's step in it.
        trained: The phase's checkpoints; None only at step 0 of a phase that starts from a base model.

    Raises:
        UserError: A fault in the model.
        StageError: The sampling died.
    """
    checkpoint = checkpoint_of(work, run_id, step, trained)
    identity = sample_identity(work, checkpoint.fingerprint)
    key = key_of(identity)
    with work.lock(f"sample {key}"):
        reused = reuse(work, "responses", key, partition(work, run_id, step))
        if reused is not None:
            return reused
        frame = _sample(work, run_id, step, checkpoint)
        entry = work.store.put("responses", frame, partition=partition(work, run_id, step), key=key, identity=identity)
        board().settled()
        return Reference.to(entry, reused=False)


def partition(work: Workplace, run_id: str, step: int) -> dict[str, str | int]:
    """The part of a table that one checkpoint's rows lie in."""
    return {"study": work.study.study, "run_id": run_id, "step": step}


def checkpoint_of(work: Workplace, run_id: str, step: int, trained: Trained | None) -> Checkpoint:
    """A phase's checkpoint; the base model itself where the phase is not trained yet and the step is 0."""
    if trained is not None:
        return trained.at(step)
    weights, content = work.base(work.plan.run(run_id).model)
    return Checkpoint(step=0, weights=weights, adapter=False, fingerprint=content, train_loss=None)


def _sample(work: Workplace, run_id: str, step: int, checkpoint: Checkpoint) -> pl.DataFrame:
    runtime, study = work.study.runtime, work.study

    def job(folder: Path) -> SampleJob:
        prompts = folder / "prompts.json"
        prompts.write_text(json.dumps([{"prompt_id": probe.prompt_id, "text": probe.prompt} for probe in work.probes]), encoding="utf-8")
        return SampleJob(
            engine=study.engine,
            dtype=study.dtype,
            weights=checkpoint.weights,
            fingerprint=checkpoint.fingerprint,
            prompts=prompts,
            sampling=study.sampling,
            out=folder / "responses.parquet",
            threads=runtime.worker_threads(),
            device=runtime.device,
            cache_tokens=runtime.cache_tokens,
        )

    answers: pl.DataFrame = work.pool.run(
        job,
        shown=lambda: stage(f"sample {run_id} step {step}"),
        timeout=60 * runtime.timeout_minutes,
        priority=1,
        collect=lambda folder, _: pl.read_parquet(folder / "responses.parquet"),
    )
    asked = pl.DataFrame([{"prompt_id": probe.prompt_id, "topic": probe.topic, "probe_set": probe.probe_set} for probe in work.probes])
    columns = [
        pl.lit(study.study).alias("study"),
        pl.lit(run_id).alias("run_id"),
        pl.lit(step, dtype=pl.Int64).alias("step"),
        pl.lit(study.engine).alias("engine"),
        pl.lit(fingerprint(study.sampling.model_dump(mode="json"))).alias("sampling"),
        pl.lit(checkpoint.fingerprint).alias("checkpoint"),
    ]
    return (
        answers.join(asked, on="prompt_id", how="left", maintain_order="left")
        .with_columns(columns)
        .select(table_schema("responses").polars.names())
    )
