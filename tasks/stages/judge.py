"""Stage ``judge``: the stances that one judge finds in a checkpoint's answers; a panel's are made of those of its members, without judging again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.judges.frames import judgements_frame
from valuedrift.judges.job import JudgeJob
from valuedrift.judges.panel import Panel, combine, lacking
from valuedrift.judges.registry import JudgeConfig, judge_identity
from valuedrift.models.control import control_identity
from valuedrift.probes import choice
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus
from valuedrift.tasks.board import announce, board, shown, tell
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work

_JUDGED = (*STANCE_COLUMNS, "unassigned", "status")
_ANSWER = ("probe_set", "topic", "prompt_id", "sample_idx")

_JUDGED_AS_TEXT = 2
"""Version of the table of answers since which no answer has been judged with control tokens in its text."""
TABLES = ("stances",)
JUDGED = "valuedrift.checkpoint.judged"
"""Event that tells Prefect of a judged checkpoint."""


def stages(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a checkpoint and judge."""
    for answers in [stage for stage in listed if stage.name == "sample"]:
        by_judge: dict[str, Stage] = {}
        for judge in work.study.judges_in_order:
            if isinstance(judge, Panel):
                by_judge[judge.name] = _panel(work, judge, answers, tuple(by_judge[name] for name in judge.names))
            else:
                by_judge[judge.name] = _single(work, judge, answers)
        yield from by_judge.values()


def stance_identity(judge: JudgeConfig, responses_key: str) -> dict[str, Any]:
    """Identity of one judge's stances of one checkpoint's answers."""
    return {"stage": "judge", "judge": judge_identity(judge), "responses": responses_key}


def panel_identity(panel: Panel, stance_keys: Sequence[str]) -> dict[str, Any]:
    """Identity of the stances that a panel makes of those of its members, given in the members' order; their names do not matter."""
    return {"stage": "panel", "panel": panel.combined(stance_keys)}


def _single(work: StudyWork, judge: JudgeConfig, answers: Stage) -> Stage:
    """The stage of a judge that reads answers itself."""
    where = f"{answers.run_id} step {answers.step}"

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        forced = {"choice": choice.VERSION} if any(probe.options for probe in work.probes) else {}
        return {**stance_identity(judge, needs[0].key), **forced, **_control(work, judge, needs[0])}

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        stances = _judged(work, judge, answers.run_id, where, needs[0].read(work))
        tell(_means(where, stances))
        told = {"study": work.name, "run_id": answers.run_id, "step": answers.step, "judge": judge.name, "answers": stances.height}
        announce(JUDGED, f"valuedrift.run.{work.name}.{answers.run_id}", told)
        return {"stances": stances}

    address = Address(TABLES, answers.result.partition, judge.name)
    return Stage(
        "judge",
        address,
        (answers,),
        identity,
        make,
        on="gpu",
        urgency=-1,
        names=_names(work, judge),
        failed=_failures,
    )


def _control(work: StudyWork, judge: JudgeConfig, answers: Reference) -> dict[str, str]:
    """What the identity holds more where a question, or an answer that version 0.2 may have judged, spells a control token of the judge's."""
    names = judge.control_names()
    texts = [probe.prompt for probe in work.probes]
    entry = work.store.entry(answers.table, answers.partition, answers.slot) if names and answers.there else None
    if entry is not None and entry.key == answers.key and entry.schema_version < _JUDGED_AS_TEXT:
        texts += work.store.read_entry(entry).get_column("response").to_list()
    return control_identity(names, texts)


def _panel(work: StudyWork, panel: Panel, answers: Stage, members: tuple[Stage, ...]) -> Stage:
    """The stage of a panel."""
    where = f"{answers.run_id} step {answers.step}"

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        return panel_identity(panel, [stances.key for stances in needs])

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        with shown(f"panel {where}"):
            frames = [stances.read(work).sort(_ANSWER) for stances in needs]
            combined = combine([frame.select(_JUDGED) for frame in frames], panel.weights_of_members(), panel.temperatures_of_members())
            on_some_members = lacking(combined, len(frames))
            if on_some_members:
                board().result(f"{panel.name}, {where}: {on_some_members} answers rest on some members only")
            return {"stances": frames[0].with_columns(combined.select(_JUDGED)).with_columns(judge=pl.lit(panel.name))}

    address = Address(TABLES, answers.result.partition, panel.name)
    return Stage("judge", address, members, identity, make, urgency=-1, names=_names(work, panel))


def _names(work: StudyWork, judge: JudgeConfig) -> dict[str, str]:
    """What this study calls the judge and the probes."""
    return {"judge": judge.name, **work.probe_set}


def _judged(work: StudyWork, judge: JudgeConfig, run_id: str, where: str, responses: pl.DataFrame) -> pl.DataFrame:
    runtime = work.runtime
    # answers to a set that is alone may have been drawn under another name of it
    told_by = ["prompt_id"] if work.probe_set else ["probe_set", "prompt_id"]
    questions = pl.DataFrame(
        [{name: getattr(probe, name) for name in (*told_by, "prompt", "polarity", "pair_id", "options")} for probe in work.probes],
        schema_overrides={"polarity": pl.Int8, "options": pl.String},
    )
    answers = responses.join(questions, on=told_by, how="left", maintain_order="left").with_row_index("at")
    read, forced = answers.filter(pl.col("options").is_null()), answers.filter(pl.col("options").is_not_null())

    def job(folder: Path) -> JudgeJob:
        read.select("prompt", "response").write_parquet(folder / "pairs.parquet")
        return JudgeJob(
            judge=judge,
            responses=folder / "pairs.parquet",
            out=folder / "stances.parquet",
            threads=runtime.worker_threads(),
            device=runtime.device,
            keep=work.local / "replies" / work.study.study,
        )

    def collect(folder: Path, result: dict[str, Any]) -> pl.DataFrame:
        for remark in result["remarks"]:
            board().result(f"{judge.name}, {where}: {remark}")
        return pl.read_parquet(folder / "stances.parquet")

    by = f" by {judge.name}" if len(work.study.judges) > 1 else ""
    found = [judgements_frame(choice.judgements(forced["response"].to_list(), forced["options"].to_list()))]
    if read.height:
        judged: pl.DataFrame = work.pool.run(
            job,
            shown=lambda: shown(f"judge {where}{by}", work.progress_key("judge", run_id)),
            timeout=60 * runtime.timeout_minutes,
            priority=-1,  # seconds of work that show the first numbers: before the next training or sampling
            collect=collect,
        )
        found.insert(0, judged)
    stances = pl.concat([frame.select(_JUDGED) for frame in found])
    kept = ("study", "run_id", "step", *_ANSWER, "polarity", "pair_id")
    return pl.concat([read, forced]).with_columns(stances).sort("at").select(*kept, *_JUDGED).with_columns(judge=pl.lit(judge.name))


def _failures(stances: pl.DataFrame) -> int:
    """Judgements that a server failed to give."""
    return stances.filter(pl.col("status") == JudgeStatus.FAILED.value).height


def _means(where: str, stances: pl.DataFrame) -> str:
    """A first look at a checkpoint: mean stance over prompts, without intervals (those come with the analysis)."""
    means = (
        stances.filter(pl.col("status") == JudgeStatus.OK.value)
        .group_by("prompt_id")
        .agg(pl.col(STANCE_COLUMNS).mean())
        .select(pl.col(STANCE_COLUMNS).mean())
        .row(0)
    )
    return f"{where}: " + " · ".join(f"{stance} {mean:.2f}" for stance, mean in zip(STANCES, means, strict=True) if mean is not None)
