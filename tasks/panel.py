"""Make a panel's stances of one checkpoint's answers from those of its members, without judging again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from prefect import task

from valuedrift.errors import StageError
from valuedrift.judges.panel import Panel, combine, lacking
from valuedrift.storage.schemas import table_schema
from valuedrift.tasks.board import board, stage
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.identity import key_of, panel_identity
from valuedrift.tasks.judge import JUDGED
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.reuse import reuse
from valuedrift.tasks.sample import partition
from valuedrift.tasks.workplace import Workplace

_ANSWER = ("probe_set", "topic", "prompt_id", "sample_idx")


def _key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work, run_id, step, name = parameters["work"], parameters["run_id"], parameters["step"], parameters["judge"]
    key = key_of(panel_identity(work.panel(name), [member.key for member in parameters["members"]]))
    entry = work.store.entry("stances", partition(work, run_id, step), name)
    return f"{run_id}-{step}-{name}-{key}", entry is not None and entry.key == key and work.store.exists(entry)


@task(name="panel", task_run_name="panel {judge} {run_id} step {step}", cache_key_fn=cached_by("panel", _key), **TASK)
def panel(work: Workplace, run_id: str, step: int, judge: str, members: Sequence[Reference]) -> Reference:
    """Combine the members' stances of a checkpoint's answers.

    Args:
        work: What the flow's tasks share.
        run_id: The phase.
        step: The checkpoint's step in it.
        judge: Name of the panel in the study.
        members: The stances of its members, in their order.

    Raises:
        StageError: A member's stances are gone from the store.
    """
    config = work.panel(judge)
    identity = panel_identity(config, [member.key for member in members])
    key = key_of(identity)
    with work.lock(f"panel {key}"):
        reused = reuse(work, "stances", key, partition(work, run_id, step), judge)
        if reused is not None:
            return reused
        with stage(f"panel {run_id} step {step}"):
            frame = _combined(work, run_id, step, config)
            entry = work.store.put("stances", frame, partition=partition(work, run_id, step), key=key, identity=identity, slot=judge)
        board().settled()
        return Reference.to(entry, reused=False)


def _combined(work: Workplace, run_id: str, step: int, config: Panel) -> pl.DataFrame:
    frames = [_stances(work, run_id, step, name) for name in config.names]
    combined = combine([frame.select(JUDGED) for frame in frames], config.weights_of_members(), config.temperatures_of_members())
    some = lacking(combined, len(frames))
    if some:
        board().result(f"{config.name}, {run_id} step {step}: {some} answers rest on some members only")
    schema = table_schema("stances").polars
    stances = frames[0].with_columns(combined.select(JUDGED)).with_columns(pl.lit(config.name).alias("judge"))
    return stances.select(pl.col(name).cast(kind) for name, kind in schema.items())


def _stances(work: Workplace, run_id: str, step: int, judge: str) -> pl.DataFrame:
    entry = work.store.entry("stances", partition(work, run_id, step), judge)
    if entry is None:
        raise StageError(f"the stances of {judge} are gone from the store", where=f"{run_id} step {step}", fix="run the study again")
    return work.store.read_entry(entry).sort(_ANSWER)
