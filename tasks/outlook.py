"""What of a study is there already, what is not, and why: read from the manifests, without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from valuedrift.judges.panel import Panel
from valuedrift.results.analysis import CORRECTED_TABLES as CORRECTED
from valuedrift.results.analysis import TABLES as ANALYSED
from valuedrift.results.conclusions import TABLES as CONCLUDED
from valuedrift.storage.manifest import Entry
from valuedrift.study import RunPlan
from valuedrift.tasks.analyze import parts_there
from valuedrift.tasks.audit import audited
from valuedrift.tasks.conclude import conclusions_identity
from valuedrift.tasks.identity import (
    analysis_identity,
    audit_identity,
    correction_identity,
    key_of,
    panel_identity,
    sample_identity,
    stance_identity,
    train_identity,
)
from valuedrift.tasks.labels import label_keys
from valuedrift.tasks.reference import Trained
from valuedrift.tasks.sample import checkpoint_of, partition
from valuedrift.tasks.train import finished
from valuedrift.tasks.workplace import Workplace


class State(StrEnum):
    """Whether a stage's result lies in the store."""

    CACHED = "cached"
    REUSABLE = "reusable"
    MISSING = "missing"
    WAITS = "waits"


@dataclass(frozen=True, slots=True)
class Outlook:
    """One stage of a study."""

    stage: str
    run_id: str
    step: int | None
    judge: str | None
    state: State
    why: str
    key: str | None = None


def outlook(work: Workplace) -> list[Outlook]:
    """All stages of a study in the order in which they run."""
    trained: dict[str, Trained | None] = {}
    found: list[Outlook] = []
    for run in work.plan.runs:
        parent = trained.get(run.parent_run_id or "")
        outcome, done = _training(work, run, parent)
        trained[run.run_id] = done
        found.append(outcome)
        for step in run.steps:
            found.extend(_checkpoint(work, run, step, done))
    found.extend(_audits(work))
    found.extend(list(_analysis(work, found)))
    return found


def complete(stages: list[Outlook]) -> bool:
    """Whether nothing is left to do."""
    return all(stage.state is State.CACHED for stage in stages)


def _training(work: Workplace, run: RunPlan, parent: Trained | None) -> tuple[Outlook, Trained | None]:
    def told(state: State, why: str, key: str | None = None) -> Outlook:
        return Outlook("train", run.run_id, None, None, state, why, key)

    if run.parent_run_id is not None and parent is None:
        return told(State.WAITS, f"waits for {run.parent_run_id}"), None
    start = parent.last.fingerprint if parent else work.base(run.model)[1]
    identity = train_identity(work, run, start)
    key = key_of(identity)
    done = finished(work, run, key)
    if done is not None:
        return told(State.CACHED, "finished", key), done
    here = work.store.entry("runs", {"study": work.study.study, "run_id": run.run_id})
    if here is not None and here.key == key:
        return told(State.MISSING, f"finished, but its checkpoints are gone from {work.checkpoints_folder(key)}", key), None
    return told(State.MISSING, _difference(work, "runs", identity, here), key), None


def _checkpoint(work: Workplace, run: RunPlan, step: int, trained: Trained | None) -> Iterator[Outlook]:
    def told(stage: str, state: State, why: str, key: str | None = None, judge: str | None = None) -> Outlook:
        return Outlook(stage, run.run_id, step, judge, state, why, key)

    if trained is None and not (step == 0 and run.parent_run_id is None):
        yield told("sample", State.WAITS, f"waits for the training of {run.run_id}")
        for judge in work.study.judges:
            yield told("judge", State.WAITS, "waits for its answers", judge=judge.name)
        return
    identity = sample_identity(work, checkpoint_of(work, run.run_id, step, trained).fingerprint)
    responses_key = key_of(identity)
    state, why = _part(work, "responses", identity, run, step)
    yield told("sample", state, why, responses_key)
    keys: dict[str, str] = {}
    for judge in work.study.judges_in_order:
        stance = (
            panel_identity(judge, [keys[name] for name in judge.names])
            if isinstance(judge, Panel)
            else stance_identity(judge, responses_key)
        )
        keys[judge.name] = key_of(stance)
        state, why = _part(work, "stances", stance, run, step, judge.name)
        yield told("judge", state, why, keys[judge.name], judge.name)


def _part(work: Workplace, table: str, identity: dict[str, Any], run: RunPlan, step: int, slot: str = "") -> tuple[State, str]:
    key = key_of(identity)
    here = work.store.entry(table, partition(work, run.run_id, step), slot)
    if here is not None and here.key == key:
        return (State.CACHED, "there") if work.store.exists(here) else (State.MISSING, "its Parquet object is gone")
    for other in work.store.find(table, key):
        if work.store.exists(other):
            return State.REUSABLE, f"equal weights gave it before: {_name(other)}"
    return State.MISSING, _difference(work, table, identity, here)


def _audits(work: Workplace) -> Iterator[Outlook]:
    judge, study = work.auditor, work.study.study
    for one in work.audits():
        identity = audit_identity(work, one.dataset, one.kind, judge, one.options)
        key, here = key_of(identity), work.store.entry("audits", {"study": study, "dataset": one.name}, judge.name)
        there = audited(work, one.name, one.dataset, one.kind, judge, one.options, study)
        state, why = (State.CACHED, "there") if there else (State.MISSING, _difference(work, "audits", identity, here))
        yield Outlook("audit", one.name, None, judge.name, state, why, key)


def _analysis(work: Workplace, stages: list[Outlook]) -> Iterator[Outlook]:
    """Analysis, where people labelled answers the correction by their labels, and the conclusions: all are made of all stances."""
    judged = [stage for stage in stages if stage.stage == "judge"]
    keys = [stage.key for stage in judged if stage.key is not None]
    analysis = analysis_identity(work, keys)
    made: list[tuple[str, tuple[str, ...], dict[str, Any], str]] = [("analyze", ANALYSED, analysis, "")]
    if labels := label_keys(work.store, work.study.study):
        given = sum(entry.rows for entry in work.store.entries("labels", work.study.study))
        made.append(("correct", CORRECTED, correction_identity(work, keys, labels), f"; people labelled answers: {given} labels"))
    made.append(("conclude", CONCLUDED, conclusions_identity(work, key_of(analysis)), ""))
    for name, tables, identity, because in made:
        if any(stage.state is not State.CACHED for stage in judged):
            yield Outlook(name, "", None, None, State.WAITS, "waits for the stances")
            continue
        key, here = key_of(identity), work.store.entry(tables[-1], {"study": work.study.study})
        there = parts_there(work.store, work.study.study, tables, key) is not None
        state, why = (State.CACHED, "there") if there else (State.MISSING, _difference(work, tables[-1], identity, here))
        yield Outlook(name, "", None, None, state, why + because, key)


def _name(entry: Entry) -> str:
    return " ".join(str(value) for value in entry.partition.values())


def _difference(work: Workplace, table: str, identity: dict[str, Any], here: Entry | None) -> str:
    """Which parts of an identity differ from what lies at the same place, or else from the nearest in the store."""
    wanted = _flat(identity)
    nearest = here or max(work.store.entries(table), key=lambda entry: len(wanted.items() & _flat(entry.identity).items()), default=None)
    if nearest is None:
        return "never done"
    known = _flat(nearest.identity)
    parts = [
        f"{name}: {known.get(name, 'unset')} → {wanted.get(name, 'unset')}"
        for name in sorted(wanted.keys() | known.keys())
        if known.get(name) != wanted.get(name)
    ]
    if not parts:
        return "never done"
    return f"differs from {_name(nearest)} in " + ", ".join(parts)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested identity as ``algorithm.learning_rate`` → text."""
    found: dict[str, str] = {}
    for name, content in value.items():
        if isinstance(content, Mapping):
            found.update(_flat(content, f"{prefix}{name}."))
        else:
            found[prefix + name] = str(content)
    return found
