"""The job that a child process runs: one training phase from a parent's weights to its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.fingerprint import file_fingerprint, fingerprint
from valuedrift.progress import Progress
from valuedrift.training.algorithms import Algorithm
from valuedrift.training.precision import Precision, resolve_precision
from valuedrift.training.result import Checkpoint, Metrics, TrainResult
from valuedrift.training.schedule import Schedule
from valuedrift.weights import Weights

__all__ = ["Checkpoint", "Metrics", "TrainJob", "TrainResult"]


class TrainJob(BaseModel):
    """One training phase. Above ``out`` all is identity; from ``out`` on it is where and how fast."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["train"] = Field(default="train", description="Kind of job.")
    weights: Weights = Field(description="The parent: where training starts, and the reference of DPO and PPO.")
    algorithm: Algorithm = Field(description="What is trained, and how.")
    dataset: Path = Field(description="Normalised JSON Lines: {prompt, response} or {messages} for sft, else {prompt, chosen, rejected}.")
    schedule: Schedule = Field(description="At which steps checkpoints are saved; 0 and the last always are.")
    seed: int = Field(default=0, ge=0, description="Seed of data order, initial adapters, dropout and rollouts.")
    out: Path = Field(description="Folder for the checkpoints: new, empty, or this very training's, which is then resumed.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; default: torch's.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where it runs; auto takes a GPU if torch sees one.")
    micro_batch: int | None = Field(
        default=None, ge=1, description="Examples in memory at once; default: the algorithm's batch size. Changes results by rounding only."
    )

    @property
    def precision(self) -> Precision:
        """What the algorithm's dtype means here."""
        return resolve_precision(self.algorithm.dtype, self.device)

    def identity(self) -> str:
        """Fingerprint of all that determines the run's numbers: parent, algorithm, data, schedule and seed, by content."""
        return fingerprint(
            {
                "weights": self.weights.fingerprint(),
                "algorithm": {**self.algorithm.model_dump(mode="json"), "dtype": self.precision},
                "dataset": file_fingerprint(self.dataset),
                "schedule": self.schedule.model_dump(mode="json"),
                "seed": self.seed,
            }
        )

    def run(self, progress: Callable[[Progress], None]) -> TrainResult:
        """Train, or finish a training that was killed.

        Args:
            progress: Told of every optimizer step.

        Returns:
            Checkpoints and metrics; the same as those of an undisturbed run.

        Raises:
            UserError: The model folder is not one, ``out`` holds another training, the disk is full, or the loss is not a number any more.
            DataError: The dataset is missing, empty, malformed, or its rows are too long.
        """
        from valuedrift.training.phase import train

        return train(self, progress)
