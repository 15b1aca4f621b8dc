"""Parts of a study that one machine carries out by itself: a base model's answers, a phase, a dataset's audit; and what each needs of a machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from valuedrift.errors import StageError, UserError
from valuedrift.study import RunPlan
from valuedrift.study.estimate import Estimate, estimate
from valuedrift.study.memory import memory
from valuedrift.study.runtime import Spread
from valuedrift.tasks.carry_out import carry_out
from valuedrift.tasks.stage import ALL, Stage
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.survey import State, survey

Need = Literal["cpu", "gpu", "gpu-80gb"]
"""What a part needs of a machine; the work queues have these names."""
NEEDS: tuple[Need, ...] = ("cpu", "gpu", "gpu-80gb")

_SMALL = 24e9
"""Bytes of memory that the queues `cpu` and `gpu` promise."""
_BYTES_IN_SAMPLING = 3.0
"""Bytes a weight in sampling: 16 bits, and the key-value cache."""


@dataclass(frozen=True)
class Part:
    """Stages that one machine carries out.

    Attributes:
        name: What it is called; no two parts of a study have the same.
        stages: Each behind those of the part that it needs.
        needs: Names of the parts that must be done before.
    """

    name: str
    stages: tuple[Stage, ...]
    needs: tuple[str, ...]


def parts_of(work: StudyWork, stages: Sequence[Stage], by: Spread) -> list[Part]:
    """The parts of a study, each behind those that it needs. What is made of all runs is in none, nor are checkpoints that something else trains.

    Args:
        work: The study and where it works.
        stages: Its stages.
        by: Whether a phase is one part, or its training and each of its checkpoints are.
    """
    of: dict[str, list[Stage]] = {}
    part_of: dict[str, str] = {}
    roots = _roots(work)
    for stage in stages:
        name = _part_of(stage, by, roots, work.study.series.keys())
        if name is not None:
            of.setdefault(name, []).append(stage)
            part_of[stage.label] = name
    needed = {
        name: dict.fromkeys(part_of[need.label] for stage in own for need in stage.needs if need.label in part_of)
        for name, own in of.items()
    }
    return [Part(name, tuple(own), tuple(other for other in needed[name] if other != name)) for name, own in of.items()]


def _roots(work: StudyWork) -> dict[str, str]:
    """Runs that start from a base model, with its name."""
    return {run.run_id: run.model_name for run in work.plan.runs if run.parent_run_id is None}


def _part_of(stage: Stage, by: Spread, roots: Mapping[str, str], followed: Collection[str]) -> str | None:
    """The part that a stage is of; None for what the planner does."""
    if stage.run_id in roots and stage.step == 0:
        return f"base {roots[stage.run_id]}"
    if stage.opens == ALL:  # behind all of its run's checkpoints, which may be parts of their own
        return stage.label
    if stage.run_id and stage.run_id not in followed and (stage.step is not None or stage.on == "gpu"):
        return stage.run_id if by == "phases" or stage.step is None else f"{stage.run_id} step {stage.step}"
    return stage.label if stage.on == "gpu" and not stage.run_id else None


def need_of(work: StudyWork, part: Part) -> Need:
    """What a part needs of a machine, by the estimate that `valuedrift plan` shows.

    Where the study leaves the device open, what fits there and two CPU cores do within a day goes to them.
    """
    trained = {stage.run_id for stage in part.stages if stage.name == "train"}
    runs = [run for run in work.plan.runs if any(stage.run_id == run.run_id for stage in part.stages)]
    costs = [_cost(work, run, part, trained=run.run_id in trained) for run in runs]
    whole = Estimate.total(costs)
    small = whole.memory_bytes <= _SMALL
    if work.runtime.device == "cpu" or (work.runtime.device == "auto" and small and whole.suits_cpu):
        return "cpu"
    return "gpu" if small else "gpu-80gb"


def _cost(work: StudyWork, run: RunPlan, part: Part, *, trained: bool) -> Estimate:
    steps = tuple(stage.step for stage in part.stages if stage.run_id == run.run_id and stage.name == "sample" and stage.step is not None)
    cost = estimate(replace(run, steps=steps), work.study, len(work.probes))
    parameters = run.model.known_parameters or 0.0
    in_sampling = _BYTES_IN_SAMPLING * parameters
    if not trained:
        return replace(cost, training_tokens=0.0, training_flops=0.0, memory_bytes=in_sampling)
    held = memory(run.algorithm, parameters, work.runtime)
    return replace(cost, memory_bytes=max(held.states + held.activations, in_sampling))


def carry_out_part(work: StudyWork, name: str, by: Spread) -> None:
    """Carry out one part of a study; to be called in a flow.

    Args:
        work: The study and where it works.
        name: Which part.
        by: How the study is divided.

    Raises:
        UserError: There is no such part here, or a stage of it found a fault.
        StageError: What it needs is not there, or a stage died.
    """
    parts = {part.name: part for part in parts_of(work, stages_of(work), by)}
    if name not in parts:
        fix = "let every worker see the same study file: give it as s3://bucket/key, or copy it to the same path"
        raise UserError(f"the study has no part {name!r} as this machine sees it", where=f"study {work.name}", fix=fix)
    stages = stages_of(work)
    outside = _needed_outside(stages, {stage.label for stage in parts[name].stages})
    known = {
        standing.stage.label: standing.reference
        for standing in survey(work, stages)
        if standing.stage.label in outside and standing.reference is not None and standing.state is State.CACHED
    }
    if lacking := sorted(outside - known.keys()):
        fix = "let every worker reach the same root"
        raise StageError(f"{lacking[0]} is needed and is not there as this machine sees it", where=work.root, fix=fix)
    roots = _roots(work)
    carry_out(work, lambda: stages_of(work), known=known, mine=lambda stage: _part_of(stage, by, roots, work.study.series.keys()) == name)


def _needed_outside(stages: Sequence[Stage], own: set[str]) -> set[str]:
    """Labels of what a part's stages need of others, and of what these need."""
    needed: set[str] = set()
    for stage in reversed(stages):
        if stage.label in own or stage.label in needed:
            needed |= {need.label for need in stage.needs if need.label not in own}
    return needed
