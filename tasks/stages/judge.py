"""Stage ``judge``: the stances that one judge finds in a checkpoint's answers.

A panel's are made of those of its members, without judging again; a cascade's are those of its cheap judge, but where its strong one read a sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from valuedrift.judges.cascade import Cascade
from valuedrift.judges.panel import Panel, combine, lacking
from valuedrift.judges.registry import JudgeConfig, judge_identity
from valuedrift.models.control import control_identity
from valuedrift.probes import choice
from valuedrift.stance import JudgeStatus
from valuedrift.tasks.board import announce, shown, tell
from valuedrift.tasks.judging import ANSWER, JUDGED_COLUMNS, judged, mean_words
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.cascade import cascade_stage
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work

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
            elif isinstance(judge, Cascade):
                by_judge[judge.name] = cascade_stage(work, judge, answers, by_judge[judge.cheap])
            elif judge in work.study.reading_all:
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
        stances = judged(work, judge, answers.run_id, where, needs[0].read(work))
        tell(mean_words(where, stances))
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
            frames = [stances.read(work).sort(ANSWER) for stances in needs]
            combined = combine(
                [frame.select(JUDGED_COLUMNS) for frame in frames], panel.weights_of_members(), panel.temperatures_of_members()
            )
            on_some_members = lacking(combined, len(frames))
            if on_some_members:
                tell(f"{panel.name}, {where}: {on_some_members} answers rest on some members only")
            return {"stances": frames[0].with_columns(combined.select(JUDGED_COLUMNS)).with_columns(judge=pl.lit(panel.name))}

    address = Address(TABLES, answers.result.partition, panel.name)
    return Stage("judge", address, members, identity, make, urgency=-1, names=_names(work, panel))


def _names(work: StudyWork, judge: JudgeConfig) -> dict[str, str]:
    """What this study calls the judge and the probes."""
    return {"judge": judge.name, **work.probe_set}


def _failures(stances: pl.DataFrame) -> int:
    """Judgements that a server failed to give."""
    return stances.filter(pl.col("status") == JudgeStatus.FAILED.value).height
