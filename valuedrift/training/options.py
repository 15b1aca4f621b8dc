"""What any training lets one set: its length, rate and size, the precision it computes in, and low-rank adapters. All of it is identity.

Defaults are those of TRL 1.12 unless a field says otherwise; they suit full weights. With LoRA a learning rate some ten times higher is usual.
Imports no torch.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from valuedrift.errors import UserError

Precision = Literal["bfloat16", "float32"]

_CPU_INFO = Path("/proc/cpuinfo")
_NATIVE = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Flags of CPUs that multiply matrices in bfloat16 natively (the last on Arm): training is then about twice as fast."""
_GPUS = (Path("/dev/nvidiactl"), Path("/dev/kfd"))
"""Device nodes that are there where a GPU's driver is."""


class Lora(BaseModel):
    """Low-rank adapters (Hu et al. 2021): the base stays as it is, checkpoints are small."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int = Field(default=16, ge=1, description="Rank of the update (TRL's default: 16).")
    alpha: float = Field(default=32.0, gt=0, description="Scale: the update is multiplied by alpha / r (TRL's default: 32).")
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout before the adapters, in sft; the others switch it off (TRL's default 0.05)."
    )
    target_modules: Literal["all-linear"] | tuple[str, ...] = Field(
        default="all-linear",
        description="Layers with an adapter: every linear one but the output head (QLoRA, Dettmers et al. 2023), or names.",
    )


MOST_STEPS = 10_000_000
"""Optimizer steps of one training; a greater number is a slip of the pen."""


def steps_of(steps: float, what: str) -> int:
    """Whole optimizer steps, at least one.

    Args:
        steps: As it was worked out.
        what: Of which, for messages.

    Raises:
        UserError: There are more than ``MOST_STEPS``.
    """
    if steps > MOST_STEPS:
        raise UserError(f"{what} are {steps:.3g} optimizer steps, and a training has {MOST_STEPS:,} at most", fix="fewer epochs")
    return max(1, math.ceil(steps))


class Optimisation(BaseModel):
    """What every training has: how long, how fast, on how much at once. AdamW with TRL's β, ε and a gradient norm of at most 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int | None = Field(default=None, ge=1, le=MOST_STEPS, description="Optimizer steps. Give either steps or epochs.")
    epochs: float | None = Field(default=None, gt=0, description="Passes over the data (paper: 3 for SFT). Give either steps or epochs.")
    learning_rate: float = Field(gt=0, description="Peak learning rate.")
    batch_size: int = Field(default=8, ge=1, description="Examples (pairs, episodes) a step, over all devices (TRL's default: 8).")
    max_length: int = Field(default=1024, ge=8, description="Tokens of prompt and answer; longer answers are cut (TRL's default: 1024).")
    warmup_ratio: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the steps in which the rate rises from 0 (TRL's default: 0)."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="Learning rate after warm-up: to 0 linearly or by cosine, or constant (TRL's default: linear)."
    )
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's weight decay (TRL's default: 0).")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        return self

    def total_steps(self, n_rows: int) -> int:
        """Optimizer steps on a dataset file of ``n_rows`` rows.

        Raises:
            UserError: There are more than ``MOST_STEPS``.
        """
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None  # the validator saw to it; mypy did not
        return steps_of(self.epochs * n_rows / self.batch_size, f"{self.epochs:g} epochs of {n_rows} rows")


class PolicyOptions(Optimisation):
    """What every algorithm lets one set of the model that it trains."""

    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto",
        description="Precision of the computation; auto: bfloat16 where it is native (GPUs, some CPUs), else float32, and a run's identity holds which. "
        "What is trained is float32 in any case.",
    )
    lora: Lora | None = Field(default=None, description="Low-rank adapters; null trains full weights (paper).")


def resolve_precision(dtype: Literal["auto", "bfloat16", "float32"], device: str) -> Precision:
    """The precision that a study's ``dtype`` means on this machine.

    Args:
        dtype: ``auto`` takes bfloat16 where it is native (GPUs, some CPUs), else float32, which is the faster one there.
        device: ``cpu``, ``cuda``, or ``auto``.
    """
    if dtype != "auto":
        return dtype
    on_gpu = device != "cpu" and any(node.exists() for node in _GPUS)
    return "bfloat16" if on_gpu or _native_on_cpu() else "float32"


@cache
def _native_on_cpu() -> bool:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux: float32 runs everywhere
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return not _NATIVE.isdisjoint(flags.partition(":")[2].split())
