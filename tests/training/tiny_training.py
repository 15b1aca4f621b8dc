"""Algorithms in small, and what tests of training do with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from valuedrift.progress import Progress
from valuedrift.training.job import TrainJob, TrainResult

_TEXT = "should people be free to speak and vote or must the state decide for them yes no surely never it depends on whom you ask"
WORDS = _TEXT.split()

SFT = {"type": "sft", "steps": 6, "learning_rate": 1e-2, "batch_size": 4, "max_length": 64, "lora": {"r": 4}}
DPO = {**SFT, "type": "dpo", "beta": 0.5}
SIMPO = {**SFT, "type": "simpo", "beta": 2.0, "gamma": 0.5}
IPO = {**DPO, "type": "ipo"}
ORPO = {**DPO, "type": "orpo"}
KTO = {**DPO, "type": "kto"}
PPO = {
    **SFT,
    "type": "ppo",
    "learning_rate": 1e-3,
    "response_length": 6,
    "ppo_epochs": 2,
    "reward": {"steps": 5, "learning_rate": 1e-2, "batch_size": 4, "max_length": 64},
}


GRPO = {**PPO, "type": "grpo", "learning_rate": 5e-3, "generations": 2, "temperature": 1.0}
GRPO.pop("ppo_epochs")


def sentences(n: int, seed: int, length: int = 6) -> list[str]:
    """Sentences of common words."""
    import numpy as np

    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, size=int(draw.integers(2, length)))) for _ in range(n)]


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    """A JSON Lines file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def finish(job: TrainJob) -> TrainResult:
    """Run a job to its end, without an audience."""
    return job.run(lambda _: None)


def watch(job: TrainJob) -> tuple[TrainResult, list[Progress]]:
    """Run a job to its end and keep what it reports."""
    seen: list[Progress] = []
    return job.run(seen.append), seen


def weights_bytes(result: TrainResult) -> dict[int, dict[str, bytes]]:
    """The bytes of all that a run's checkpoints hold, but for checkpoint.json's float formatting."""
    found: dict[int, dict[str, bytes]] = {}
    for checkpoint in result.checkpoints[1:]:
        folder = checkpoint.weights.adapters[-1] if checkpoint.adapter else checkpoint.weights.base
        found[checkpoint.step] = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return found
