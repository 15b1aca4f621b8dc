"""Let a study's failed answers and judgements be asked for again: a server's bad day must not stay in the tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from valuedrift.storage.manifest import Entry
from valuedrift.tasks.stages.registry import kinds, stages_of
from valuedrift.tasks.study_work import StudyWork


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was taken out of the tables, to be made again."""

    judgements: int
    """Failed ones, each of an answer by a judge that reads answers itself; equal answers of equal checkpoints count once."""
    answers: int
    """Failed ones of checkpoints that a server has."""
    parts: int
    """Parts of tables that held them, or were made from those that did."""
    others: tuple[str, ...]
    """Other studies of the root that had taken over the same judgements; they make them again too."""


def forget_failed(work: StudyWork) -> Forgotten:
    """Take the results with failures out of the tables, and what stages of the list made from them.

    Only results that the study's list of stages names: imported stances, and those of older runs, would not come back. What a server did answer is in its
    own file of replies, so that the next run asks for nothing but what failed. Other answers, draws and labels stay.

    Args:
        work: The study.
    """
    stages = stages_of(work)
    failed: dict[str, dict[str, int]] = {"sample": {}, "judge": {}}
    for stage in stages:
        entry = stage.result.before(work)
        if (
            stage.failed is not None
            and entry is not None
            and work.store.exists(entry)
            and (count := stage.failed(work.store.read_entry(entry)))
        ):
            failed.setdefault(stage.name, {})[entry.key] = count
    # what people drew and labelled rests on stances too, but no stage makes it: it stays
    everything = [entry for kind in kinds() for table in kind.tables for entry in work.store.entries(table)]
    gone = {key for counts in failed.values() for key in counts}
    while more := {entry.key for entry in everything if entry.key not in gone and _made_from(entry.identity, gone)}:
        gone |= more
    parts = [entry for entry in everything if entry.key in gone]
    for study in sorted({entry.study for entry in parts}):
        work.store.drop(study, {entry.address for entry in parts if entry.study == study})
    return Forgotten(sum(failed["judge"].values()), sum(failed["sample"].values()), len(parts), _others(parts, work.study.study))


def _others(parts: Collection[Entry], study: str) -> tuple[str, ...]:
    return tuple(sorted({entry.study for entry in parts} - {study}))


def _made_from(identity: Any, keys: Collection[str]) -> bool:
    """Whether a key stands anywhere in an identity."""
    if isinstance(identity, dict):
        return any(_made_from(part, keys) for part in identity.values())
    if isinstance(identity, list | tuple):
        return any(_made_from(part, keys) for part in identity)
    return isinstance(identity, str) and identity in keys
