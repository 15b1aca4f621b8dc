"""Let a study's failed judgements be asked for again: a server's bad day must not stay in the tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import polars as pl

from valuedrift.results.analysis import CORRECTED_TABLES as CORRECTED
from valuedrift.results.analysis import TABLES as ANALYSED
from valuedrift.results.conclusions import TABLES as CONCLUDED
from valuedrift.stance import JudgeStatus
from valuedrift.storage.manifest import Entry
from valuedrift.storage.store import Store
from valuedrift.tasks.sample import partition
from valuedrift.tasks.workplace import Workplace

MADE_AGAIN = ("stances", *ANALYSED, *CORRECTED, *CONCLUDED)
"""Tables that the next run makes again. What people drew and labelled rests on stances too, and stays: nobody could make it again."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was taken out of the tables, to be made again."""

    judgements: int
    """Failed ones, each of an answer by a judge that reads answers itself; equal answers of equal checkpoints count once."""
    parts: int
    """Parts of tables that held them, or were made from those that did."""
    others: tuple[str, ...]
    """Other studies of the root that had taken over the same judgements; they make them again too."""


def forget_failed(work: Workplace) -> Forgotten:
    """Take the stances with failed judgements out of the tables, and the tables that the flow made from them.

    Only stances that the study's plan names and a judge of its own gave: imported ones, and those of older runs, would not come back. What a server did
    answer is in its judge's file of replies, so that the next run asks for nothing but what failed. Answers, draws and labels stay.

    Args:
        work: The study.
    """
    planned = [
        work.store.entry("stances", partition(work, run.run_id, step), judge.name)
        for run in work.plan.runs
        for step in run.steps
        for judge in work.study.judges
        if not judge.judged_from
    ]
    failed = {entry.key: count for entry in planned if entry is not None and (count := _failed(work.store, entry))}
    everything = [entry for table in MADE_AGAIN for entry in work.store.entries(table)]
    gone: set[str] = set(failed)
    while more := {entry.key for entry in everything if entry.key not in gone and _made_from(entry.identity, gone)}:
        gone |= more
    parts = [entry for entry in everything if entry.key in gone]
    for study in sorted({entry.study for entry in parts}):
        work.store.drop(study, {entry.address for entry in parts if entry.study == study})
    return Forgotten(sum(failed.values()), len(parts), tuple(sorted({entry.study for entry in parts} - {work.study.study})))


def _failed(store: Store, entry: Entry) -> int:
    return store.read_entry(entry).filter(pl.col("status") == JudgeStatus.FAILED.value).height if store.exists(entry) else 0


def _made_from(identity: Any, keys: Collection[str]) -> bool:
    """Whether a key stands anywhere in an identity."""
    if isinstance(identity, dict):
        return any(_made_from(part, keys) for part in identity.values())
    if isinstance(identity, list | tuple):
        return any(_made_from(part, keys) for part in identity)
    return isinstance(identity, str) and identity in keys
