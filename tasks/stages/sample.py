"""Stage ``sample``: one checkpoint's answers to the probes, drawn in a child process. Equal weights share their answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.engines.base import EngineTuning, RemoteEngine
from valuedrift.engines.job import SampleJob
from valuedrift.fingerprint import fingerprint
from valuedrift.models.control import CONTROL_AS_TEXT, spells_control
from valuedrift.study import RunPlan, ServedRun
from valuedrift.tasks.board import shown, tell
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.stage import LAST, Stage
from valuedrift.tasks.stages.train import checkpoints_of, opened
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work
from valuedrift.watching.sighted import Sighted
from valuedrift.weights import Weights

TABLES = ("responses",)


def stages(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a checkpoint. That of a base model needs no training: its answers come first; nor do those that a training has published already."""
    trained = {stage.run_id: stage for stage in listed if stage.name == "train"}
    for run in work.plan.runs:
        training = work.trainings.get(run.run_id)
        published = training.published() if training is not None else {}
        for step in run.steps:
            if step == 0:  # a phase begins with what its parent ended with
                yield (
                    _stage(work, run, step, (trained[run.parent_run_id],)) if run.parent_run_id else _stage(work, run, step, (), urgency=-1)
                )
            elif step in published:
                yield _stage(work, run, step, (), published[step])
            else:
                yield _stage(work, run, step, (trained[run.run_id],))
    for series in work.plan.series:
        for sighted in series.checkpoints:
            yield watched_stage(work, series.run_id, sighted)
    for served in work.plan.served:
        for step in served.steps:
            yield _asking_stage(work, served, step)


def _stage(
    work: StudyWork, run: RunPlan, step: int, needs: tuple[Stage, ...], published: Weights | None = None, *, urgency: int = 1
) -> Stage:
    opens = (step if needs[0].run_id == run.run_id else LAST) if needs else None

    def weights(trained: Sequence[Reference]) -> tuple[Callable[[], Weights], str]:
        """What gives the weights of the checkpoint, and their fingerprint."""
        if opens is not None:
            kept = opened(checkpoints_of(work, trained[0]), opens)
            return lambda: work.weights.at_hand(kept.stack, kept.fingerprint), kept.fingerprint
        given, content = work.base(run.model) if published is None else (published, published.fingerprint())
        return lambda: given, content

    def identity(trained: Sequence[Reference]) -> dict[str, Any]:
        asked = [prompt.messages for prompt in work.asked]
        return {**sample_identity(work, weights(trained)[1]), **work.control(run.model, asked, work.probes_fingerprint)}

    address = Address(TABLES, {"study": work.study.study, "run_id": run.run_id, "step": step})
    label = f"sample {run.run_id} step {step}"

    def make(_: Work, trained: Sequence[Reference]) -> Frames:
        given, content = weights(trained)
        return {"responses": _sampled(work, run.run_id, label, content, weights=given())}

    return Stage("sample", address, needs, identity, make, on="gpu", urgency=urgency, names=work.probe_set, opens=opens)


def watched_stage(work: StudyWork, run_id: str, sighted: Sighted) -> Stage:
    """The stage of a checkpoint that something else trained."""
    label = f"sample {run_id} step {sighted.step}"

    def identity(_: Sequence[Reference]) -> dict[str, Any]:
        spelling = any(spells_control(prompt.whole_text) for prompt in work.asked)  # its tokenizer may not be here yet
        return {**sample_identity(work, sighted.fingerprint()), **(CONTROL_AS_TEXT if spelling else {})}

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        return {"responses": _sampled(work, run_id, label, sighted.fingerprint(), weights=sighted.weights())}

    address = Address(TABLES, {"study": work.study.study, "run_id": run_id, "step": sighted.step})
    return Stage("sample", address, (), identity, make, on="gpu", urgency=0, names=work.probe_set, as_of=sighted.state)


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
