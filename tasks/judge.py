"""Judge the stance of one checkpoint's answers in a child process, and keep the stances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from prefect import task

from valuedrift.errors import StageError
from valuedrift.judges.job import JudgeJob
from valuedrift.judges.registry import JudgeConfig
from valuedrift.stance import STANCE_COLUMNS, STANCES
from valuedrift.storage.schemas import table_schema
from valuedrift.tasks.board import board, stage, tell
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.identity import key_of, stance_identity
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.reuse import reuse
from valuedrift.tasks.sample import partition
from valuedrift.tasks.workplace import Workplace

JUDGED = ("p_support", "p_neutral", "p_oppose", "unassigned", "status")


def _key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work, run_id, step, name = parameters["work"], parameters["run_id"], parameters["step"], parameters["judge"]
    key = key_of(stance_identity(work.judge(name), parameters["responses"].key))
    entry = work.store.entry("stances", partition(work, run_id, step), name)
    return f"{run_id}-{step}-{name}-{key}", entry is not None and entry.key == key and work.store.exists(entry)


@task(name="judge", task_run_name="judge {run_id} step {step} by {judge}", cache_key_fn=cached_by("judge", _key), **TASK)
def judge(work: Workplace, run_id: str, step: int, judge: str, responses: Reference) -> Reference:
    """Judge a checkpoint's answers by one judge, or take the stances that equal answers got before.

    Args:
        work: What the flow's tasks share.
        run_id: The phase.
        step: The checkpoint's step in it.
        judge: Name of the judge in the study.
        responses: The answers.

    Raises:
        UserError: The judge's weights or settings are at fault.
        StageError: The judging died.
    """
    config = work.judge(judge)
    identity = stance_identity(config, responses.key)
    key = key_of(identity)
    with work.lock(f"judge {key}"):
        reused = reuse(work, "stances", key, partition(work, run_id, step), judge)
        if reused is not None:
            return reused
        frame = _judge(work, run_id, step, config)
        entry = work.store.put("stances", frame, partition=partition(work, run_id, step), key=key, identity=identity, slot=judge)
        board().settled()
        tell(_summary(run_id, step, frame))
        return Reference.to(entry, reused=False)


def _judge(work: Workplace, run_id: str, step: int, config: JudgeConfig) -> pl.DataFrame:
    runtime = work.study.runtime
    entry = work.store.entry("responses", partition(work, run_id, step))
    if entry is None:
        raise StageError("the answers are gone from the store", where=f"{run_id} step {step}", fix="run the study again")
    questions = pl.DataFrame(
        [
            {"prompt_id": probe.prompt_id, "prompt": probe.prompt, "polarity": probe.polarity, "pair_id": probe.pair_id}
            for probe in work.probes
        ],
        schema_overrides={"polarity": pl.Int8},
    )
    answers = work.store.read_entry(entry).join(questions, on="prompt_id", how="left", maintain_order="left")

    def job(folder: Path) -> JudgeJob:
        answers.select("prompt", "response").write_parquet(folder / "pairs.parquet")
        return JudgeJob(
            judge=config,
            responses=folder / "pairs.parquet",
            out=folder / "stances.parquet",
            threads=runtime.worker_threads(),
            device=runtime.device,
            keep=work.local / "replies" / work.study.study,
        )

    def collect(folder: Path, result: dict[str, Any]) -> pl.DataFrame:
        for remark in result["remarks"]:
            board().result(f"{config.name}, {run_id} step {step}: {remark}")
        return pl.read_parquet(folder / "stances.parquet")

    by = f" by {config.name}" if len(work.study.judges) > 1 else ""
    judged: pl.DataFrame = work.pool.run(
        job,
        shown=lambda: stage(f"judge {run_id} step {step}{by}"),
        timeout=60 * runtime.timeout_minutes,
        priority=-1,  # seconds of work that show the first numbers: before the next training or sampling
        collect=collect,
    )
    schema = table_schema("stances").polars
    stances = answers.with_columns(judged.select(JUDGED)).with_columns(pl.lit(config.name).alias("judge"))
    return stances.select(pl.col(name).cast(kind) for name, kind in schema.items())


def _summary(run_id: str, step: int, stances: pl.DataFrame) -> str:
    """A first look at a checkpoint: mean stance over prompts, without intervals (those come with the analysis)."""
    means = (
        stances.filter(pl.col("status") == "ok")
        .group_by("prompt_id")
        .agg(pl.col(STANCE_COLUMNS).mean())
        .select(pl.col(STANCE_COLUMNS).mean())
        .row(0)
    )
    return f"{run_id} step {step}: " + " · ".join(
        f"{stance} {mean:.2f}" for stance, mean in zip(STANCES, means, strict=True) if mean is not None
    )
