"""SIGKILL at any point of a training, then the same job again: the same weights and rows as those of an undisturbed run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_training import DPO, GRPO, IPO, KTO, ORPO, PPO, SFT, SIMPO, finish, watch, weights_bytes, write_rows

from valuedrift.training.job import TrainJob
from valuedrift.weights import Weights

pytestmark = pytest.mark.slow

CHILD = """
import os, signal, sys
from pathlib import Path
from valuedrift.training import folder
from valuedrift.training.job import TrainJob

point, count = sys.argv[2].split(":")
seen = 0

def reached(name):
    global seen
    seen += name == point
    if name == point and seen == int(count):
        os.kill(os.getpid(), signal.SIGKILL)

def dying(name, owner, attribute, before):
    whole = getattr(owner, attribute)
    def wrapped(*args, **kwargs):
        if before:
            reached(name)
        found = whole(*args, **kwargs)
        if not before:
            reached(name)
        return found
    setattr(owner, attribute, wrapped)

dying("commit", folder, "commit", True)  # weights or state written in full, not yet in place
dying("published", folder.RunFolder, "publish", False)  # a checkpoint is there that is ahead of the state
dying("state", folder.RunFolder, "keep_state", False)
dying("finish", folder.RunFolder, "finish", True)
TrainJob.model_validate_json(Path(sys.argv[1]).read_text()).run(lambda progress: reached("step"))
"""
"""Runs a job and kills itself the n-th time that it comes to a point."""


def run_killed(job: TrainJob, point: str, tmp_path: Path) -> None:
    """Run a job in a process of its own that is killed at a point."""
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json())
    child = subprocess.run([sys.executable, "-c", CHILD, str(path), point], check=False, capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL, child.stderr[-2000:]


@pytest.mark.parametrize(
    ("algorithm", "point", "redone"),
    [
        (SFT, "commit:3", 5),  # the checkpoint of step 3 written, not in place
        (SIMPO, "published:2", 5),  # it is in place, its state is not
        ({**SFT, "lora": {"r": 4, "dropout": 0.3}, "epochs": 2.0, "steps": None}, "step:5", 4),  # random numbers and a second pass
        (DPO, "step:5", 3),
        (IPO, "step:4", 3),
        (ORPO, "commit:3", 5),
        (KTO, "step:5", 3),
        ({**KTO, "lora": None, "learning_rate": 1e-3}, "published:2", 5),
        ({**SFT, "lora": None, "learning_rate": 1e-3}, "step:5", 3),
        (GRPO, "step:3", 11),  # in the reward model's training
        (GRPO, "step:9", 3),
        ({**GRPO, "lora": None}, "published:2", 5),
        (PPO, "step:4", 11),  # in the reward model's training, before its first state
        (PPO, "step:9", 3),  # the reward model is not trained again
        (PPO, "finish:1", 0),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else str(value),
)
def test_a_killed_training_ends_as_an_undisturbed_one(
    job_of: Callable[..., TrainJob], tmp_path: Path, algorithm: dict[str, Any], point: str, redone: int
) -> None:
    job = job_of(algorithm)
    run_killed(job, point, tmp_path)
    assert not (job.out / "result.json").exists()
    resumed, seen = watch(job)
    undisturbed = finish(job_of(algorithm, out=tmp_path / "undisturbed"))
    assert len(seen) == redone
    assert weights_bytes(resumed) == weights_bytes(undisturbed)
    assert resumed.metrics == undisturbed.metrics
    assert resumed.reward_accuracy == undisturbed.reward_accuracy
    assert [checkpoint.fingerprint for checkpoint in resumed.checkpoints] == [
        checkpoint.fingerprint for checkpoint in undisturbed.checkpoints
    ]
    assert not (job.out / "_state").exists()
    assert not list(job.out.glob(".partial*"))


@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_that_two_processes_trained_into_at_once_is_trained_anew(
    job_of: Callable[..., TrainJob], tmp_path: Path, finished: bool
) -> None:
    job = job_of(SFT)
    undisturbed = finish(job_of(SFT, out=tmp_path / "undisturbed"))
    if finished:
        finish(job)
        told = json.loads((job.out / "result.json").read_text(encoding="utf-8"))
        (job.out / "result.json").write_text(json.dumps({**told, "metrics": sorted(told["metrics"] * 2, key=lambda row: row["step"])}))
    else:
        run_killed(job, "step:5", tmp_path)
    rows = (job.out / "metrics.jsonl").read_text(encoding="utf-8")
    (job.out / "metrics.jsonl").write_text("".join(line * 2 for line in rows.splitlines(keepends=True)))
    again, seen = watch(job)
    assert again.metrics == undisturbed.metrics and len(seen) == 6
    assert weights_bytes(again) == weights_bytes(undisturbed)


def test_a_full_disk_is_said_to_be_one_and_training_goes_on_later(job_of: Callable[..., TrainJob], tmp_path: Path) -> None:
    job = job_of(SFT)
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json())
    # a limit on the size of files, met by the optimizer's state, is what a process can have of a full disk without harm to others
    code = (
        "import resource, sys; from pathlib import Path; from valuedrift.errors import UserError; from valuedrift.training.job import TrainJob\n"
        "def small(progress): resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))\n"
        "try: TrainJob.model_validate_json(Path(sys.argv[1]).read_text()).run(small)\n"
        "except UserError as error: print(error)"
    )
    child = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert child.stdout.splitlines()[-1].startswith(f"{job.out}: the disk is full")
    assert not list(job.out.glob("step-*"))
    assert weights_bytes(finish(job)) == weights_bytes(finish(job_of(SFT, out=tmp_path / "undisturbed")))


@pytest.mark.long
@pytest.mark.parametrize(("algorithm", "point"), [(SFT, "step:2"), (GRPO, "step:3")], ids=["sft", "grpo"])
def test_the_real_model_resumes_exactly(tmp_path: Path, algorithm: dict[str, Any], point: str) -> None:
    from valuedrift.models.resolve import resolve_model

    answer = "Yes: a vote is the least that a citizen owes the others."
    question = {"prompt": "Should everybody vote?", "response": answer, "chosen": answer, "rejected": "No."}
    job = TrainJob.model_validate(
        {
            "weights": Weights(base=resolve_model("embedded:smollm2-135m-instruct")),
            "algorithm": {
                **algorithm,
                "steps": 3,
                "learning_rate": 1e-3,
                "max_length": 96,
                **(
                    {"batch_size": 2, "reward": {"steps": 1, "batch_size": 1, "max_length": 96}} if algorithm is GRPO else {"batch_size": 1}
                ),
            },
            "dataset": write_rows(tmp_path / "rows.jsonl", [question, {**question, "prompt": "Must everybody vote?"}]),
            "schedule": {"type": "every", "n": 1},
            "out": tmp_path / "run",
            "threads": 1,
            "device": "cpu",
        }
    )
    run_killed(job, point, tmp_path)
    resumed = finish(job)
    undisturbed = finish(job.model_copy(update={"out": tmp_path / "undisturbed"}))
    assert weights_bytes(resumed) == weights_bytes(undisturbed)
    assert resumed.metrics == undisturbed.metrics
    first, last = resumed.metrics[0], resumed.metrics[-1]
    assert first.loss is not None
    assert last.loss is not None
    assert last.loss < first.loss if algorithm is SFT else last.kl
