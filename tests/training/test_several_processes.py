"""Two processes that train together (gloo, on the CPU): the numbers of one, kills, and faults that are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import DPO, GRPO, IPO, KTO, ORPO, SFT, SIMPO, finish, weights_bytes

from valuedrift.errors import StageError, UserError
from valuedrift.jobs import ChildPool, Supervisor
from valuedrift.progress import Progress
from valuedrift.study.runtime import Runtime
from valuedrift.training.job import TrainJob
from valuedrift.training.records import TrainResult

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # each start of two processes imports torch twice

FULL = {"lora": None, "learning_rate": 1e-3}
WHOLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sft in parts": (SFT, {"micro_batch": 1}),
    "sft, full, recomputed": ({**SFT, **FULL}, {"gradient_checkpointing": True}),
    "dpo, full": ({**DPO, **FULL}, {}),
    "dpo recomputed": (DPO, {"micro_batch": 1, "gradient_checkpointing": True}),
    "ipo": (IPO, {}),
    "simpo": (SIMPO, {}),
    "orpo": (ORPO, {}),
    "kto in parts": (KTO, {"micro_batch": 1}),
    "kto, full": ({**KTO, **FULL}, {}),
}
SHARES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sft, full, in shares": ({**SFT, **FULL}, {"shard": True, "micro_batch": 1}),
    "dpo, full, in shares": ({**DPO, **FULL, "reference_dtype": "bfloat16"}, {"shard": True}),
    "dpo in shares": (DPO, {"shard": True}),
    "kto, full, in shares": ({**KTO, **FULL}, {"shard": True, "micro_batch": 1}),
}
ALL_OF_THEM = """
import sys
from pathlib import Path

import numpy as np
from valuedrift.training.job import TrainJob

if "{answers}" == "given":
    from trl import GRPOTrainer

    def given(trainer, prompt_ids, *_, **__):
        made = []
        for at, ids in enumerate(prompt_ids):
            draw = np.random.default_rng([trainer.state.global_step, at % 2, *ids])
            made.append([int(token) for token in draw.integers(3, 300, size=draw.integers(2, 6))])
        return made, None

    GRPOTrainer._generate_single_turn = given

for path in sys.argv[1:]:
    TrainJob.model_validate_json(Path(path).read_text()).run(lambda progress: None)
"""
_CANCELLED = 5e-5
"""How far the loss of GRPO may lie off: it is a mean of terms of the size of 1 that cancel but for their rounding."""


def run_together(jobs: list[TrainJob], folder: Path, answers: str = "drawn") -> list[TrainResult]:
    """Run jobs one after the other in the same processes, so that they are started once.

    Args:
        jobs: All by the same number of processes.
        folder: For the jobs' files.
        answers: Whether GRPO's are drawn, or given: the same to the same prompts, whoever asks.
    """
    script = folder / "jobs.py"
    script.write_text(ALL_OF_THEM.replace("{answers}", answers))
    paths = [folder / f"job-{index}.json" for index in range(len(jobs))]
    for path, job in zip(paths, jobs, strict=True):
        path.write_text(job.model_dump_json())
    command = Runtime(processes=jobs[0].processes).training_command() or (sys.executable,)
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


def assert_equal_within_rounding(found: TrainResult, wanted: TrainResult, *, near_zero: float = 2e-6) -> None:
    """The same steps, rows and weights, up to the order in which floating-point numbers were added."""
    assert [one.step for one in found.checkpoints] == [one.step for one in wanted.checkpoints]
    assert len(found.metrics) == len(wanted.metrics) > 0
    for one, other in zip(found.metrics, wanted.metrics, strict=True):
        numbers = {name: value for name, value in other.model_dump().items() if value is not None}
        assert {name: value for name, value in one.model_dump().items() if value is not None} == pytest.approx(
            numbers, rel=2e-4, abs=near_zero
        )
    for one, other in zip(found.checkpoints[1:], wanted.checkpoints[1:], strict=True):
        assert one.held_out_loss is other.held_out_loss is None or one.held_out_loss == pytest.approx(other.held_out_loss, rel=2e-4)
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-4, abs=near_zero)
    for step, expected in tensors(wanted).items():
        for name, value in expected.items():
            torch.testing.assert_close(tensors(found)[step][name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("several", [WHOLE, SHARES], ids=["each whole", "each a share"])
def test_two_processes_give_the_numbers_of_one(
    job_of: Callable[..., TrainJob], tmp_path: Path, several: dict[str, tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    jobs = []
    for name, (algorithm, fields) in several.items():
        held_out = {"held_out": job_of(algorithm).dataset}
        jobs.append(job_of(algorithm, processes=2, out=tmp_path / name / "together", **held_out, **fields))
    found = run_together(jobs, tmp_path)
    for job, result in zip(jobs, found, strict=True):
        as_usual = {"processes": 1, "shard": False, "micro_batch": None, "gradient_checkpointing": False}
        alone = job.model_copy(update=as_usual | {"out": job.out.with_name("alone")})
        assert alone.identity() == job.identity()
        assert_equal_within_rounding(result, finish(alone))


KILLED = """
import os, signal, sys
from pathlib import Path
from valuedrift.training.job import TrainJob
from valuedrift.training.keeper import Keeper

job, rank, step = TrainJob.model_validate_json(Path(sys.argv[1]).read_text()), sys.argv[2], int(sys.argv[3])
ended = Keeper.on_step_end

def on_step_end(keeper, args, state, control, **given):
    if keeper.model == "policy" and state.global_step == step and os.environ["RANK"] == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    return ended(keeper, args, state, control, **given)

Keeper.on_step_end = on_step_end
job.run(lambda progress: None)
"""
"""Runs a job of which one process kills itself at the end of a step."""


@pytest.mark.long
def test_a_training_of_which_a_process_was_killed_ends_as_an_undisturbed_one(job_of: Callable[..., TrainJob], tmp_path: Path) -> None:
    killed = [
        ({**SFT, "lora": {"r": 4, "dropout": 0.3}}, {}, 1),
        ({**DPO, **FULL}, {"shard": True}, 0),
        (GRPO, {}, 1),
    ]
    jobs = [job_of(algorithm, processes=2, out=tmp_path / f"killed-{at}", **fields) for at, (algorithm, fields, _) in enumerate(killed)]
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    for job, (_, _, rank) in zip(jobs, killed, strict=True):
        path = tmp_path / "killed.json"
        path.write_text(job.model_dump_json())
        command = [*Runtime(processes=2).training_command(), str(script), str(path), str(rank), "5"]
        child = subprocess.run(command, check=False, capture_output=True, text=True)
        assert child.returncode != 0
        assert "Signal 9 (SIGKILL)" in child.stderr
        assert [path.name for path in (job.out / "_state" / "policy").glob("ready-*")] == ["ready-000003"]
    undisturbed = [job.model_copy(update={"out": job.out.with_name(f"whole-{job.out.name}")}) for job in jobs]
    ended = run_together([*jobs, *undisturbed], tmp_path)
    for resumed, wanted in zip(ended[: len(jobs)], ended[len(jobs) :], strict=True):
        assert resumed.metrics == wanted.metrics
        assert weights_bytes(resumed) == weights_bytes(wanted)


@pytest.mark.long
def test_grpo_has_the_numbers_of_one_process_when_given_the_same_answers(job_of: Callable[..., TrainJob], tmp_path: Path) -> None:
    kinds = {"adapters": {}, "full": FULL}
    alone, both = (
        run_together(
            [job_of({**GRPO, **more}, processes=n, out=tmp_path / f"{name}-{n}") for name, more in kinds.items()], tmp_path, answers="given"
        )
        for n in (1, 2)
    )
    for wanted, found in zip(alone, both, strict=True):
        assert found.reward_accuracy == pytest.approx(wanted.reward_accuracy)
        assert len({row.reward for row in wanted.metrics}) > 1
        assert_equal_within_rounding(found, wanted, near_zero=_CANCELLED)


@pytest.mark.long
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


def test_a_study_starts_them_and_hears_of_each_step_once(job_of: Callable[..., TrainJob], tmp_path: Path) -> None:
    job, seen = job_of(SFT, processes=2), list[Progress]()
    pool = ChildPool(tmp_path / "scratch", workers=1, threads=2, launcher=Runtime(processes=2).training_command(), processes=2)
    try:
        result = TrainResult.model_validate(pool.run(lambda _: job, shown=lambda: nullcontext(seen.append), fresh=True, timeout=600))
    finally:
        pool.close()
    assert [progress.done for progress in seen] == [1, 2, 3, 4, 5, 6]
    assert [one.step for one in result.checkpoints] == [0, 1, 3, 6]
    lasting = sorted(path.name for path in job.out.iterdir() if not path.name.startswith("."))
    assert lasting == ["metrics.jsonl", "result.json", "run.json", "step-000001", "step-000003", "step-000006"]


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


def test_when_one_is_killed_all_end_and_the_study_is_told(
    job_of: Callable[..., TrainJob], child: Callable[..., Supervisor], tmp_path: Path
) -> None:
    def ranks() -> list[psutil.Process]:
        family = [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]
        return [one for one in family if "valuedrift.jobs.together" in one.cmdline() and one.environ().get("RANK") == "1"]

    def kill_the_second(progress: Progress) -> None:
        for one in ranks():
            one.kill()

    started = child(Runtime(processes=2))
    with pytest.raises(StageError) as caught:
        started.run(job_of({**SFT, "steps": 400}, processes=2), tmp_path, progress=kill_the_second, timeout=600)
    assert caught.value.exit_code == 4
    assert "in process 1 of 2" in caught.value.what or "ended with exit code" in caught.value.what  # whoever notices first
    started.close()
    assert not ranks()
