"""The cached tasks of a synthesis: write a shard of candidates, judge it, choose the pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
from prefect import task
from prefect.artifacts import create_table_artifact

from valuedrift.judges.job import JudgeJob
from valuedrift.storage.store import Part
from valuedrift.synthesis.candidates import accepted_answers, candidates_frame, counts, written_frame
from valuedrift.synthesis.dial import dial
from valuedrift.synthesis.job import WriteJob
from valuedrift.synthesis.pairs import audited, pairs_frame
from valuedrift.tasks.board import board, stage, tell
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.steps import StepDone, step_once
from valuedrift.tasks.synthesis_room import Shard, SynthesisRoom

WRITTEN, JUDGED = "synthesis-written", "synthesis-judged"
"""Names of the intermediate results."""


def _write_key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work: SynthesisRoom = parameters["work"]
    key = work.shards[parameters["number"]].write_key
    return key, work.steps.exists(WRITTEN, key)


def _judge_key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work: SynthesisRoom = parameters["work"]
    key = work.shards[parameters["number"]].judge_key
    return key, work.steps.exists(JUDGED, key)


@task(name="write candidates", task_run_name="write {number}", cache_key_fn=cached_by("synthesis-write", _write_key), **TASK)
def write_candidates(work: SynthesisRoom, number: int) -> StepDone:
    """Have the writer answer the questions of a shard, or take the answers that it gave before.

    Args:
        work: What the flow's tasks share.
        number: Of the shard.

    Raises:
        UserError: The writer's model is missing, or its server refuses.
        StageError: The writing died.
    """
    shard = work.shards[number]
    return step_once(work, work.steps, WRITTEN, shard.write_key, lambda: _written(work, shard))


def _written(work: SynthesisRoom, shard: Shard) -> pl.DataFrame:
    writer, runtime = work.synthesis.writer, work.runtime
    if writer is None:
        return written_frame(shard.packaged())

    def job(folder: Path) -> WriteJob:
        questions = folder / "questions.json"
        questions.write_text(json.dumps([asdict(question) for question in shard.questions]), encoding="utf-8")
        return WriteJob(
            writer=writer,
            questions=questions,
            stance=shard.stance,
            candidates=work.synthesis.candidates,
            seed=work.synthesis.dial.seed,
            out=folder / "written.parquet",
            threads=runtime.worker_threads(),
            device=runtime.device,
            cache_tokens=runtime.cache_tokens,
            keep=work.local,
        )

    return _run(work, job, f"write {shard.stance.value} answers", "written.parquet")


@task(name="judge candidates", task_run_name="judge {number}", cache_key_fn=cached_by("synthesis-judge", _judge_key), **TASK)
def judge_candidates(work: SynthesisRoom, number: int, written: StepDone) -> StepDone:
    """Judge the answers of a shard, or take the judgements that they got before.

    Args:
        work: What the flow's tasks share.
        number: Of the shard.
        written: Its answers.

    Raises:
        UserError: The judge is at fault.
        StageError: The judging died.
    """
    shard = work.shards[number]
    return step_once(work, work.steps, JUDGED, shard.judge_key, lambda: _judged(work, shard))


def _judged(work: SynthesisRoom, shard: Shard) -> pl.DataFrame:
    asked = pl.DataFrame([asdict(question) for question in shard.questions])
    answers = work.steps.read(WRITTEN, shard.write_key).join(asked, on="prompt_id", how="left", maintain_order="left")

    def job(folder: Path) -> JudgeJob:
        answers.select("prompt", "response").write_parquet(folder / "answers.parquet")
        return JudgeJob(
            judge=work.synthesis.judge,
            responses=folder / "answers.parquet",
            out=folder / "judged.parquet",
            threads=work.runtime.worker_threads(),
            device=work.runtime.device,
            keep=work.local,
        )

    return _run(work, job, f"judge {shard.stance.value} answers", "judged.parquet")


def _run(work: SynthesisRoom, job: Callable[[Path], Any], label: str, out: str) -> pl.DataFrame:
    frame: pl.DataFrame = work.pool.run(
        job, shown=lambda: stage(label), timeout=60 * work.runtime.timeout_minutes, collect=lambda folder, _: pl.read_parquet(folder / out)
    )
    return frame


def _pairs_key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work: SynthesisRoom = parameters["work"]
    return f"{work.synthesis.name}-{work.key}", work.finished()


@task(name="choose pairs", task_run_name="choose pairs", cache_key_fn=cached_by("synthesis-pairs", _pairs_key), **TASK)
def choose_pairs(work: SynthesisRoom, judged: Sequence[StepDone]) -> Reference:
    """Choose the pairs that give the asked gap; write candidates and pairs, both or neither.

    Args:
        work: What the flow's tasks share.
        judged: The judgements of all shards.

    Raises:
        UserError: The accepted answers can't give such pairs.
    """
    synthesis = work.synthesis
    written = pl.concat([work.steps.read(WRITTEN, shard.write_key) for shard in work.shards])
    judgements = pl.concat([work.steps.read(JUDGED, shard.judge_key) for shard in work.shards])
    candidates = candidates_frame(work.questions, written, judgements, synthesis.dial.accept)
    for row in counts(candidates):
        tell(told(row))
    with stage("choose pairs"):
        pairs = pairs_frame(dial(accepted_answers(candidates), synthesis.dial), synthesis)
    named = candidates.with_columns(writer=pl.lit(synthesis.writer_name), judge=pl.lit(synthesis.judge.name))
    parts = [
        Part(table, frame, work.partition, work.key, work.identity) for table, frame in (("candidates", named), ("synthetic_pairs", pairs))
    ]
    entry = work.store.put_all(parts)[-1]
    create_table_artifact(
        table=counts(candidates), key="synthesis", description=f"Candidates of {synthesis.name}: written, accepted, and why not"
    )
    tell(f"{pairs.height:,} pairs, value gap {audited(pairs, candidates).value:.3f}, asked {synthesis.dial.gap:g}")
    board().settled()
    return Reference.to(entry, reused=False)


def told(row: dict[str, int | str]) -> str:
    """One stance's counts in words: ``support: 97 of 128 accepted; other stance 20, refused 11``."""
    others = ", ".join(f"{name} {count}" for name, count in row.items() if name not in ("stance", "written", "accepted") and count)
    return f"{row['stance']}: {row['accepted']:,} of {row['written']:,} accepted" + (f"; {others}" if others else "")
