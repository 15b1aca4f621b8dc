"""Where and how fast a study runs. Nothing here enters a fingerprint."""

from __future__ import annotations

import os
import sys
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from valuedrift.engines.base import EngineTuning
from valuedrift.trackers.registry import TrackerConfig
from valuedrift.training.folder import STATE_SECONDS

Keep = Literal["all", "last", "adapters", "none"]


class KeptCheckpoints(BaseModel):
    """What is kept of trainings, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: Keep = Field(
        default="all",
        description="Weights that stay when they are judged and no stage of the study needs them any more: all, each run's `last`, low-rank `adapters` and "
        "what they lie on, or none. The tables stay whole; what needs deleted weights later trains the run again.",
    )
    state_seconds: float = Field(
        default=STATE_SECONDS,
        gt=0,
        description="How much of a killed training is done again at most: its state is saved, and sent to the bucket of the root, as often.",
    )


Spread = Literal["phases", "checkpoints"]
"""How a study is divided among machines."""


class Runtime(EngineTuning):
    """Devices, parallelism and patience; two studies that differ only here share every cached result."""

    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where models run; auto takes a GPU if torch sees one.")
    workers: int = Field(default=1, ge=1, description="Stages that run side by side, each in its own child process.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads of a worker; default: the machine's cores shared out evenly.")
    micro_batch: int | None = Field(
        default=None,
        ge=1,
        description="Examples in memory at once in training, of each process; default: its share of the algorithm's batch size.",
    )
    processes: int | None = Field(
        default=None,
        ge=1,
        description="Processes that train one model together, a GPU each, where there are GPUs; default: 1. With a launcher: how many it starts.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Whether training computes each layer again for its gradients: an eighth of the memory for activations, a third slower.",
    )
    gpu_gigabytes: float | None = Field(
        default=None, gt=0, description="Memory of a GPU, in GB: a training whose weights and moments cannot fit it is refused beforehand."
    )
    shard: bool = Field(
        default=False,
        description="Whether each of those processes holds a share of weights, gradients, moments and reference (FSDP2), not all of them.",
    )
    cache_tokens: int = Field(
        default=65_536, ge=256, description="Tokens that the key-value cache may hold in sampling; bounds its memory."
    )
    timeout_minutes: float = Field(default=24 * 60.0, gt=0, description="A stage that takes longer is killed and reported.")
    stop_seconds: float = Field(
        default=25.0,
        ge=0,
        description="How long a training that is stopped may take to end its step and save its state; then it is killed. Prefect's workers kill a "
        "cancelled run after 30 seconds.",
    )
    retries: int = Field(default=2, ge=0, description="How often a stage that died (not one with bad input) is tried again.")
    retry_delay_seconds: float = Field(default=5.0, ge=0, description="Wait before the first retry; doubled each time.")
    lease_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Where machines share the root: a run that gives no sign of life for as long as this loses to another what it was making.",
    )
    watch_idle_minutes: float = Field(
        default=120.0, gt=0, description="A watch ends when no checkpoint of a series appears or changes for as long as this."
    )
    trackers: tuple[TrackerConfig, ...] = Field(
        default=(),
        description="Where drift is told beside the curves of the training: `tensorboard`, `{type: mlflow, uri: …}`, `{type: wandb, project: …}`.",
    )
    checkpoints: KeptCheckpoints = Field(
        default=KeptCheckpoints(), description="What is kept of trainings: `{keep: all | last | adapters | none, state_seconds: 120}`."
    )
    spread: Spread | None = Field(
        default=None,
        description="Whether workers of a Prefect work pool do the work: a phase each (`phases`), or also a checkpoint each (`checkpoints`). "
        "Default: this process does.",
    )
    pool: str = Field(default="valuedrift", min_length=1, description="The work pool that takes what is spread.")
    slots: str | None = Field(
        default=None,
        min_length=1,
        description="A global concurrency limit of the Prefect server: each child holds one of its slots while it works. Default: none is asked for.",
    )
    dead_after_seconds: float = Field(
        default=180.0, ge=60.0, description="A part of the study that gave no heartbeat for as long is done again by another worker."
    )
    launcher: tuple[str, ...] = Field(
        default=(),
        description="Command that starts training's processes in place of torchrun; -m and a module follow it, e.g. [accelerate, launch, --num_processes=4].",
    )

    @model_validator(mode="after")
    def _launched_are_counted(self) -> Self:
        if self.launcher and self.processes is None:
            raise ValueError("say how many processes the launcher starts: processes: 4, say")
        return self

    @model_validator(mode="after")
    def _several_share(self) -> Self:
        if self.shard and self.training_processes() == 1:
            raise ValueError("one process has nobody to share a model with: shard: false, or processes: 2 or more")
        return self

    def training_command(self) -> tuple[str, ...]:
        """What starts the processes of a training; none where it is one, which needs no launcher."""
        if self.launcher or self.training_processes() == 1:
            return self.launcher
        alone = ("--standalone", "--local-addr=127.0.0.1")  # one machine: its name need not be known to any resolver
        return (sys.executable, "-m", "torch.distributed.run", *alone, f"--nproc-per-node={self.training_processes()}")

    def training_processes(self) -> int:
        """Processes that train one model together."""
        return self.processes or 1

    def worker_threads(self) -> int:
        """CPU threads that one worker may use."""
        if self.threads is not None:
            return self.threads
        return (
            max(1, len(os.sched_getaffinity(0)) // self.workers)
            if hasattr(os, "sched_getaffinity")
            else max(1, (os.cpu_count() or 1) // self.workers)
        )
