"""How a study is divided among machines, and what each part asks of one. No server, no model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from valuedrift.errors import DataError, StageError, UserError
from valuedrift.study.runtime import Spread
from valuedrift.tasks.parts import Part, need_of, parts_of
from valuedrift.tasks.sources import study_of
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

STUDY = """
study: divided
probes: {set: starter, topics: [immigration], per_topic: 2}
models: {small: {path: "hf:a/small", parameters: 1.35e8}, large: {path: "hf:a/large", parameters: 8.0e9}}
corpora: {neutral: {data: "starter:sft-neutral", limit: 64}}
preferences: {gap: {data: "starter:preference-support", limit: 64}}
sft:
  - {data: [neutral], algorithm: {type: sft, steps: 4, batch_size: 2}}
preference:
  - {data: [gap], algorithm: {type: dpo, steps: 4, batch_size: 2, lora: {r: 4}}}
checkpoints: {type: log, points: 3}
judges: [{type: cross-encoder}, {type: cross-encoder, name: second}]
"""


def divided(folder: Path, by: Spread, **runtime: object) -> tuple[StudyWork, dict[str, Part]]:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(STUDY), "runtime": runtime}), encoding="utf-8")
    work = StudyWork(study_of(path), os.fspath(folder / "root"))
    return work, {part.name: part for part in parts_of(work, stages_of(work), by)}


def test_a_phase_is_a_part_and_waits_for_its_parent(tmp_path: Path) -> None:
    work, parts = divided(tmp_path, "phases")
    assert {name for name in parts if not name.startswith("audit")} == {
        "base small", "base large", "small.sft-neutral", "large.sft-neutral", "small.sft-neutral.dpo-gap", "large.sft-neutral.dpo-gap",
    }  # fmt: skip
    assert parts["small.sft-neutral"].needs == () and parts["base small"].needs == ()
    assert parts["small.sft-neutral.dpo-gap"].needs == ("small.sft-neutral",)
    shared = [stage.label for part in parts.values() for stage in part.stages]
    assert len(shared) == len(set(shared))
    left = {stage.name for stage in stages_of(work)} - {stage.name for part in parts.values() for stage in part.stages}
    assert left == {"probes", "analyze", "conclude", "report"}  # what is made of all runs
    kinds = [stage.name for stage in parts["small.sft-neutral"].stages]
    assert kinds.count("train") == 1 and kinds.count("sample") * 2 == kinds.count("judge") == 2 * (
        len(work.plan.run("small.sft-neutral").steps) - 1
    )


def test_by_checkpoints_each_checkpoint_waits_for_its_training_alone(tmp_path: Path) -> None:
    _, parts = divided(tmp_path, "checkpoints")
    assert [stage.name for stage in parts["small.sft-neutral"].stages] == ["train"]
    one = parts["small.sft-neutral step 4"]
    assert one.needs == ("small.sft-neutral",) and [stage.name for stage in one.stages] == ["sample", "judge", "judge"]
    assert parts["small.sft-neutral.dpo-gap"].needs == ("small.sft-neutral",)


@pytest.mark.parametrize(
    ("part", "device", "need"),
    [
        ("small.sft-neutral", "auto", "cpu"),
        ("small.sft-neutral", "cuda", "gpu"),
        ("large.sft-neutral", "cpu", "cpu"),
        ("large.sft-neutral", "auto", "gpu-80gb"),  # 8 billion weights, all of them trained
        ("base large", "cuda", "gpu"),
        ("base small", "cuda", "gpu"),
    ],
)
def test_the_queue_is_chosen_by_the_estimate(tmp_path: Path, part: str, device: str, need: str) -> None:
    work, parts = divided(tmp_path, "phases", device=device)
    assert need_of(work, parts[part]) == need


@pytest.mark.parametrize(
    "fault",
    [UserError("no such file", where="a.yaml", fix="give one"), DataError("a row is empty", where="row 3"), StageError("out of memory")],
)
def test_a_fault_keeps_its_kind_and_words_in_the_state_of_a_flow_run(fault: UserError) -> None:
    from valuedrift.flows.spread.pool import read_fault, told_fault

    read = read_fault(told_fault(fault))
    assert type(read) is type(fault) and str(read) == str(fault) and read.exit_code == fault.exit_code


def test_a_state_that_no_fault_wrote_is_a_stage_that_died() -> None:
    from valuedrift.flows.spread.pool import read_fault

    assert type(read_fault("Flow run exceeded timeout")) is StageError


@pytest.mark.parametrize(
    ("command", "port"),
    [
        ("prefect server start", None),
        ("prefect server start --port 4300", 4300),
        ("python prefect server start --host h --port=4300", 4300),
    ],
)
def test_a_server_that_starts_on_another_port_is_not_waited_for(command: str, port: int | None) -> None:
    from valuedrift.flows.server import _port_named

    assert _port_named(command.split()) == port
