"""Two processes that train together (gloo, on the CPU): the numbers of one, kills, and faults that are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import DPO, GRPO, IPO, KTO, ORPO, SFT, SIMPO, finish

from valuedrift.errors import UserError
from valuedrift.jobs import Supervisor
from valuedrift.progress import Progress
from valuedrift.study.runtime import Runtime
from valuedrift.training.job import TrainJob, TrainResult

pytestmark = pytest.mark.slow

FULL = {"lora": None, "learning_rate": 1e-3}
OFFLINE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sft in parts": (SFT, {"micro_batch": 1}),
    "sft, full": ({**SFT, **FULL}, {}),
    "dpo, full": ({**DPO, **FULL}, {}),
    "dpo": (DPO, {"micro_batch": 1}),
    "ipo": (IPO, {}),
    "simpo": (SIMPO, {}),
    "orpo": (ORPO, {}),
    "kto in parts": (KTO, {"micro_batch": 1}),
    "kto, full": ({**KTO, **FULL}, {}),
}
ALL_OF_THEM = """
import sys
from pathlib import Path
from valuedrift.training.job import TrainJob

for path in sys.argv[1:]:
    TrainJob.model_validate_json(Path(path).read_text()).run(lambda progress: None)
"""


def run_together(jobs: list[TrainJob], folder: Path) -> list[TrainResult]:
    """Run jobs one after the other in the same two processes, so that they are started once."""
    script = folder / "jobs.py"
    script.write_text(ALL_OF_THEM)
    paths = [folder / f"job-{index}.json" for index in range(len(jobs))]
    for path, job in zip(paths, jobs, strict=True):
        path.write_text(job.model_dump_json())
    command = Runtime(processes=2).training_command()
    done = subprocess.run([*command, str(script), *map(str, paths)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return [TrainResult.model_validate_json((job.out / "result.json").read_bytes()) for job in jobs]


def tensors(result: TrainResult) -> dict[int, dict[str, torch.Tensor]]:
    """The tensors of each checkpoint that a run published."""
    folders = {one.step: one.weights.adapters[-1] if one.adapter else one.weights.base for one in result.checkpoints[1:]}
    return {
        step: {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}
        for step, folder in folders.items()
    }


def assert_equal_within_rounding(found: TrainResult, wanted: TrainResult) -> None:
    """The same steps, rows and weights, up to the order in which floating-point numbers were added."""
    assert [one.step for one in found.checkpoints] == [one.step for one in wanted.checkpoints]
    assert len(found.metrics) == len(wanted.metrics) > 0
    for one, other in zip(found.metrics, wanted.metrics, strict=True):
        numbers = {name: value for name, value in other.model_dump().items() if value is not None}
        assert {name: value for name, value in one.model_dump().items() if value is not None} == pytest.approx(numbers, rel=2e-4, abs=2e-6)
    for one, other in zip(found.checkpoints[1:], wanted.checkpoints[1:], strict=True):
        assert one.held_out_loss == pytest.approx(other.held_out_loss, rel=2e-4)
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-4)
    for step, expected in tensors(wanted).items():
        for name, value in expected.items():
            torch.testing.assert_close(tensors(found)[step][name], value, rtol=1e-3, atol=1e-4)


def test_two_processes_give_the_numbers_of_one(job_of: Callable[..., TrainJob], tmp_path: Path) -> None:
    jobs = []
    for name, (algorithm, fields) in OFFLINE.items():
        held_out = {"held_out": job_of(algorithm).dataset}
        jobs.append(job_of(algorithm, processes=2, out=tmp_path / name / "together", **held_out, **fields))
    found = run_together(jobs, tmp_path)
    for job, result in zip(jobs, found, strict=True):
        alone = job.model_copy(update={"processes": 1, "out": job.out.with_name("alone"), "micro_batch": None})
        assert alone.identity() == job.identity()
        assert_equal_within_rounding(result, finish(alone))


def test_grpo_is_trained_published_and_repeated_by_two_processes(job_of: Callable[..., TrainJob], tmp_path: Path) -> None:
    jobs = [job_of({**GRPO, **fields}, processes=2, out=tmp_path / name) for name, fields in (("a", {}), ("b", {}), ("full", FULL))]
    first, second, full = run_together(jobs, tmp_path)
    assert first.metrics == second.metrics
    assert len(full.metrics) == 6
    wanted = finish(job_of(GRPO, out=tmp_path / "alone"))
    assert first.reward_accuracy == pytest.approx(wanted.reward_accuracy)
    assert [one.step for one in first.checkpoints] == [one.step for one in wanted.checkpoints]


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    """Makes supervised children that are started by a launcher."""
    made: list[Supervisor] = []

    def make(runtime: Runtime) -> Supervisor:
        made.append(Supervisor(tmp_path / "child.log", threads=1, launcher=runtime.training_command()))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_study_starts_them_and_hears_of_each_step_once(
    job_of: Callable[..., TrainJob], child: Callable[..., Supervisor], tmp_path: Path
) -> None:
    job, seen = job_of(SFT, processes=2), list[Progress]()
    result = TrainResult.model_validate(child(Runtime(processes=2)).run(job, tmp_path, progress=seen.append, timeout=600))
    assert [progress.done for progress in seen] == [1, 2, 3, 4, 5, 6]
    assert [one.step for one in result.checkpoints] == [0, 1, 3, 6]
    assert sorted(path.name for path in job.out.iterdir()) == [
        "metrics.jsonl",
        "result.json",
        "run.json",
        "step-000001",
        "step-000003",
        "step-000006",
    ]


@pytest.mark.parametrize(
    ("launcher", "started"),
    [
        ((sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", "2"), 1),
        (Runtime(processes=3).training_command(), 3),
    ],
    ids=["accelerate that starts one", "torchrun that starts three"],
)
def test_other_processes_than_were_asked_for_are_an_error(
    job_of: Callable[..., TrainJob], child: Callable[..., Supervisor], tmp_path: Path, launcher: tuple[str, ...], started: int
) -> None:
    job = job_of(SFT, processes=2)
    with pytest.raises(UserError, match=f"runtime.processes: 2 processes are to train together, and {started} were started") as caught:
        child(Runtime(processes=2, launcher=launcher)).run(job, tmp_path, timeout=600)
    assert caught.value.exit_code == 2
    assert not job.out.exists()
