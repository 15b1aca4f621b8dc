"""Stage ``look``: how far a run had moved at each of its checkpoints, with intervals that hold over all looks, and the alerts that this fires."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from valuedrift.study import SeriesRun
from valuedrift.tasks.alarm import raise_alerts
from valuedrift.tasks.board import tell
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.stage import Stage, named_by
from valuedrift.tasks.stages.analyze import sample_of, stances_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work
from valuedrift.watching.alerts import ANY, Alerts, check_names
from valuedrift.watching.looks import Looks, looks
from valuedrift.watching.sampled_looks import cascade_looks

TABLES = ("alerts", "looks")
_FIRST_LOOK = 2
"""Checkpoints of a run when it is looked at for the first time."""
LOOK_VERSION = 1
"""Raised when the statistics of looks change their numbers."""


def stages(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a run with two judged checkpoints, of the main judge: of every run where the study names alerts, else of series."""
    alerts = work.study.alerts
    if alerts is not None:
        if not alerts.rules:
            return
        check_names(alerts, topics=sorted({probe.topic for probe in work.probes}), runs=[run.run_id for run in work.plan.sampled])
    for run in work.plan.sampled:
        if alerts is None and not isinstance(run, SeriesRun):
            continue
        judged = tuple(
            stage
            for stage in listed
            if stage.name == "judge" and stage.run_id == run.run_id and stage.result.slot == work.study.judges[0].name
        )
        if len(judged) > 1:
            yield _stage(work, run.run_id, alerts or Alerts(), judged)


def _stage(work: StudyWork, run_id: str, alerts: Alerts, judged: tuple[Stage, ...]) -> Stage:
    address = Address(TABLES, {"study": work.name, "run_id": run_id})

    def identity(stances: Sequence[Reference]) -> dict[str, Any]:
        return {
            "stage": "look",
            "version": LOOK_VERSION,
            "stances": [part.key for part in stances],
            "rules": [rule.text for rule in alerts.rules],
            "confidence": alerts.confidence,
            "towards": work.analysis.towards.value,
        }

    def make(_: Work, stances: Sequence[Reference]) -> Frames:
        sample, towards = sample_of(work, stances), work.analysis.towards
        rows = stances_of(work, stances)
        seen = looks(rows, alerts, towards=towards) if sample is None else cascade_looks(rows, sample, alerts, towards=towards)
        before = work.store.entry("alerts", address.partition)
        raise_alerts(work, seen.alerts, before=pl.DataFrame() if before is None else work.store.read_entry(before))
        if len(stances) == _FIRST_LOOK:
            _tell_unseen(work, run_id, alerts, seen)
        return {"looks": seen.looks, "alerts": seen.alerts}

    return Stage("look", address, judged, identity, make, named=named_by(judged), urgency=-1)


def _tell_unseen(work: StudyWork, run_id: str, alerts: Alerts, seen: Looks) -> None:
    """Say of which topics no change can be told, and so no alert: too few of their answers were judged where the run begins."""
    looked_at = set(seen.looks.get_column("topic"))
    topics = sorted({probe.topic for probe in work.probes} - looked_at)
    for topic in topics:
        if any(rule.topic in (ANY, topic) and rule.run in (ANY, run_id) for rule in alerts.rules):
            tell(f"{run_id}: no alert on {topic} can fire: fewer than two of its prompts were judged at the first checkpoint")
