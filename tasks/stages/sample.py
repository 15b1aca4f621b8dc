"""Stage ``sample``: one checkpoint's answers to the probes, drawn in a child process. Equal weights share their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.engines.base import EngineTuning, RemoteEngine
from valuedrift.engines.job import SampleJob
from valuedrift.fingerprint import fingerprint
from valuedrift.models.control import CONTROL_AS_TEXT, spells_control
from valuedrift.study import ServedRun
from valuedrift.study.parts import Model
from valuedrift.tasks.board import shown, tell
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.at_checkpoint import Checkpoint, checkpoints
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work
from valuedrift.weights import Weights

TABLES = ("responses",)


def stages(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a checkpoint. That of a base model needs no training: its answers come first; nor do those that a training has published already."""
    for checkpoint in checkpoints(work, listed):
        yield stage_at(work, checkpoint)
    for served in work.plan.served:
        for step in served.steps:
            yield _asking_stage(work, served, step)


def stage_at(work: StudyWork, checkpoint: Checkpoint) -> Stage:
    """The stage of a checkpoint whose weights can be had."""
    label = f"sample {checkpoint.run_id} step {checkpoint.step}"

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        return {**sample_identity(work, checkpoint.weights(needs)[1]), **_control(work, checkpoint.model)}

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        weights, content = checkpoint.weights(needs)
        return {"responses": _sampled(work, checkpoint.run_id, label, content, weights=weights())}

    address = Address(TABLES, {"study": work.study.study, "run_id": checkpoint.run_id, "step": checkpoint.step})
    return Stage(
        "sample",
        address,
        checkpoint.needs,
        identity,
        make,
        on="gpu",
        urgency=checkpoint.urgency,
        names=work.probe_set,
        opens=checkpoint.opens,
        as_of=checkpoint.as_of,
    )


def _control(work: StudyWork, model: Model | None) -> dict[str, str]:
    """What the identity holds more where a question spells a control token."""
    if model is not None:
        return work.control(model, [prompt.messages for prompt in work.asked], work.probes_fingerprint)
    spelling = any(
        spells_control(prompt.whole_text) for prompt in work.asked
    )  # the tokenizer of what something else trained may not be here yet
    return CONTROL_AS_TEXT if spelling else {}


def _asking_stage(work: StudyWork, run: ServedRun, step: int) -> Stage:
    """The stage of a checkpoint that a server has."""
    label = f"sample {run.run_id} step {step}"

    def identity(_: Sequence[Reference]) -> dict[str, Any]:
        return sample_identity(work, run.fingerprint(step))

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        responses = _sampled(work, run.run_id, label, run.fingerprint(step), engine=run.at(step))
        if failures := _failures(responses):
            tell(f"{label}: {failures} answers failed; valuedrift run --retry-failed asks for them again")
        return {"responses": responses}

    address = Address(TABLES, {"study": work.study.study, "run_id": run.run_id, "step": step})
    return Stage("sample", address, (), identity, make, failed=_failures)


def _failures(responses: pl.DataFrame) -> int:
    """Answers that a server failed to give."""
    return responses.filter(pl.col("finish_reason") == "failed").height


def sample_identity(work: StudyWork, weights_fingerprint: str) -> dict[str, Any]:
    """Identity of the answers of one checkpoint: weights, questions, sampling, engine. Neither run nor step: equal weights share their answers."""
    return {
        "stage": "sample",
        "weights": weights_fingerprint,
        "probes": work.probes_fingerprint,
        "sampling": work.study.sampling.identity(),
        **work.study.drawing_identity(),
    }


def _sampled(
    work: StudyWork, run_id: str, label: str, content: str, *, weights: Weights | None = None, engine: RemoteEngine | None = None
) -> pl.DataFrame:
    """Answers of a checkpoint, of its weights here or by an engine that asks for it.

    Args:
        work: The study and where it works.
        run_id: The run that it is of.
        label: Of the stage.
        content: Fingerprint of the weights, or what stands for it.
        weights: The weights that the study's engine is given.
        engine: Who asks a server.
    """
    runtime, study = work.runtime, work.study

    def job(folder: Path) -> SampleJob:
        prompts = folder / "prompts.json"
        prompts.write_text(json.dumps([asdict(prompt) for prompt in work.asked]), encoding="utf-8")
        return SampleJob(
            engine=engine or study.engine,
            dtype=study.dtype,
            weights=weights,
            fingerprint=content,
            prompts=prompts,
            sampling=study.sampling,
            out=folder / "responses.parquet",
            threads=runtime.worker_threads(),
            device=runtime.device,
            cache_tokens=runtime.cache_tokens,
            tuning=EngineTuning(**runtime.tuning),
            keep=work.local / "replies" / study.study,
        )

    answers: pl.DataFrame = work.pool.run(
        job,
        shown=lambda: shown(label, work.progress_key("sample", run_id)),
        timeout=60 * runtime.timeout_minutes,
        priority=1,
        keeps=None if weights is None else f"{study.engine_name} {study.dtype} {weights.base}",
        collect=lambda folder, _: pl.read_parquet(folder / "responses.parquet"),
    )
    asked = pl.DataFrame(
        [
            {"prompt_id": prompt.prompt_id, "own": probe.prompt_id, "topic": probe.topic, "probe_set": probe.probe_set}
            for prompt, probe in zip(work.asked, work.probes, strict=True)
        ]
    )
    told = answers.join(asked, on="prompt_id", how="left", maintain_order="left").with_columns(prompt_id=pl.col("own")).drop("own")
    return told.with_columns(
        engine=pl.lit(study.engine_name),
        sampling=pl.lit(fingerprint(study.sampling.identity())),
        checkpoint=pl.lit(content),
    )
