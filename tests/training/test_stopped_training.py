"""A training that is asked to stop saves its state at the end of its step: the next goes on from there, and its numbers are those of an undisturbed one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_training import GRPO, PPO, SFT, finish, watch, weights_bytes

from valuedrift.errors import StoppedError
from valuedrift.jobs import ChildPool
from valuedrift.jobs.supervisor import STOP
from valuedrift.progress import Progress
from valuedrift.study.runtime import Runtime
from valuedrift.training.job import TrainJob

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LONG = {**SFT, "steps": 400}
"""Minutes, if nobody stopped it."""


@pytest.mark.parametrize(
    ("algorithm", "told_at", "left", "model"),
    [
        (SFT, 4, 1, "policy"),
        ({**SFT, "lora": {"r": 4, "dropout": 0.3}, "epochs": 2.0, "steps": None}, 1, 5, "policy"),  # random numbers and a second pass
        (GRPO, 2, 8, "reward"),  # in the reward model's training
        (GRPO, 4, 6, "policy"),  # at its end, before the policy begins
        (PPO, 7, 4, "policy"),  # which tells of a step before it is at its end
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else str(value),
)
def test_nothing_but_the_step_in_hand_is_lost(
    job_of: Callable[..., TrainJob], tmp_path: Path, algorithm: dict[str, Any], told_at: int, left: int, model: str
) -> None:
    job = job_of(algorithm, stop=tmp_path / STOP)

    def tell(progress: Progress) -> None:
        if progress.done == told_at:
            (tmp_path / STOP).touch()

    with pytest.raises(StoppedError, match=model):
        job.run(tell)
    (tmp_path / STOP).unlink()
    resumed, seen = watch(job)
    undisturbed = finish(job_of(algorithm, out=tmp_path / "undisturbed"))
    assert len(seen) == left, "steps that were left"
    assert weights_bytes(resumed) == weights_bytes(undisturbed)
    assert resumed.metrics == undisturbed.metrics


def test_one_that_is_asked_in_its_last_step_is_finished(job_of: Callable[..., TrainJob], tmp_path: Path) -> None:
    job = job_of(SFT, stop=tmp_path / STOP)

    def tell(progress: Progress) -> None:
        if progress.done == 5:
            (tmp_path / STOP).touch()

    assert job.run(tell).total_steps == 6


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[float], ChildPool]]:
    """Makes pools whose trainings are one process or two."""
    made: list[ChildPool] = []
    runtime = Runtime(processes=request.param)

    def make(patience: float) -> ChildPool:
        made.append(
            ChildPool(
                tmp_path / "scratch",
                workers=1,
                threads=2,
                launcher=runtime.training_command(),
                processes=runtime.training_processes(),
                patience=patience,
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def _stopped(pool: ChildPool, job: TrainJob, *, at_step: int = 3) -> tuple[list[Progress], float]:
    """Close a pool while a training is at some step; returns what it told, and how long closing took."""
    seen: list[Progress] = []
    reached, faults = threading.Event(), list[BaseException]()

    def note(progress: Progress) -> None:
        seen.append(progress)
        if progress.done >= at_step:
            reached.set()

    def train() -> None:
        try:
            pool.run(
                lambda folder: job.model_copy(update={"stop": folder / STOP}),
                shown=lambda: nullcontext(note),
                fresh=True,
                saves=True,
            )
        except StoppedError as error:
            faults.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    assert reached.wait(300)
    begun = time.monotonic()
    for child in psutil.Process().children(recursive=True):  # what stops a machine asks every process to end, the launcher too
        if {"valuedrift.jobs", "valuedrift.jobs.together"} & set(child.cmdline()):
            child.terminate()
    pool.close()
    took = time.monotonic() - begun
    thread.join(30)
    assert len(faults) == 1
    return seen, took


def test_closing_a_pool_lets_a_training_save_its_state(
    pool: Callable[[float], ChildPool], request: pytest.FixtureRequest, job_of: Callable[..., TrainJob], tmp_path: Path
) -> None:
    processes = 2 if "two" in request.node.name else 1
    job = job_of(LONG, processes=processes)
    seen, took = _stopped(pool(60), job)
    (state,) = (job.out / "_state" / "policy").glob("ready-*")
    step = int(state.name.removeprefix("ready-"))
    print(f"{processes}: stopped after step {seen[-1].done}, state of step {step}, {took:.1f} s")
    assert step == seen[-1].done < 400 and took < 30
    short = job.model_copy(update={"stop": None})
    again = pool(60)
    resumed: list[Progress] = []
    thread = threading.Thread(target=lambda: _quietly(again, short, resumed))
    thread.start()
    while not resumed:
        time.sleep(0.05)
    again.close()
    thread.join(60)
    assert resumed[0].done == step + 1


def _quietly(pool: ChildPool, job: TrainJob, seen: list[Progress]) -> None:
    with pytest.raises(StoppedError):
        pool.run(lambda _: job, shown=lambda: nullcontext(seen.append), fresh=True)


def test_one_that_takes_too_long_is_killed(job_of: Callable[..., TrainJob], tmp_path: Path) -> None:
    pool = ChildPool(tmp_path / "scratch", workers=1, threads=1, patience=0.0)
    job = job_of(LONG)
    _, took = _stopped(pool, job, at_step=4)
    assert took < 5
    assert [path.name for path in (job.out / "_state" / "policy").glob("ready-*")] == ["ready-000003"], "the last that the schedule has"
