"""The algorithms, each a tagged model with its own fields. All of it is identity: any change makes another run.

Defaults are those of TRL 1.12 unless a field says otherwise; they suit full weights. With LoRA a learning rate some ten times higher is usual.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


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


class Optimisation(BaseModel):
    """What every training has: how long, how fast, on how much at once. AdamW with TRL's β, ε and a gradient norm of at most 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int | None = Field(default=None, ge=1, description="Optimizer steps. Give either steps or epochs.")
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
        """Optimizer steps on a dataset file of ``n_rows`` rows."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None  # the validator saw to it; mypy did not
        return max(1, math.ceil(self.epochs * n_rows / self.batch_size))


class _Algorithm(Optimisation):
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto",
        description="Precision of the computation; auto: bfloat16 where it is native (GPUs, some CPUs), else float32, and a run's identity holds which. "
        "What is trained is float32 in any case.",
    )
    lora: Lora | None = Field(default=None, description="Low-rank adapters; null trains full weights (paper).")

    phase: ClassVar[str]


class SFT(_Algorithm):
    """Supervised fine-tuning: −E log π(y|x), over the answer's tokens only."""

    type: Literal["sft"] = Field(default="sft", description="Algorithm.")
    learning_rate: float = Field(default=2e-5, gt=0, description="Peak learning rate (TRL's default: 2e-5).")
    phase = "sft"


class DPO(_Algorithm):
    """Direct preference optimization (Rafailov et al. 2023): −E log σ(β log π(y_w)/π_ref(y_w) − β log π(y_l)/π_ref(y_l))."""

    type: Literal["dpo"] = Field(default="dpo", description="Algorithm.")
    learning_rate: float = Field(default=1e-6, gt=0, description="Peak learning rate (TRL's default: 1e-6).")
    beta: float = Field(default=0.1, gt=0, description="β: price of leaving the reference, the parent (DPO paper and TRL: 0.1).")
    phase = "dpo"


class SimPO(_Algorithm):
    """Simple preference optimization (Meng et al. 2024): −E log σ(β/|y_w| log π(y_w) − β/|y_l| log π(y_l) − γ); no reference."""

    type: Literal["simpo"] = Field(default="simpo", description="Algorithm.")
    learning_rate: float = Field(default=1e-6, gt=0, description="Peak learning rate (TRL's default: 1e-6; the SimPO paper: 3e-7 to 1e-6).")
    beta: float = Field(default=2.0, gt=0, description="β: scale of the length-normalised reward (SimPO paper: 2.0 to 2.5).")
    gamma: float = Field(default=1.0, ge=0, description="γ: margin that the chosen answer should win by (SimPO paper: 0.5 to 1.6).")
    phase = "simpo"


class RewardModel(Optimisation):
    """The reward model of PPO: the same parent with a scalar head (Bradley–Terry), trained on the same pairs; low-rank where PPO is."""

    learning_rate: float = Field(default=1e-4, gt=0, description="Peak learning rate (TRL's default: 1e-4).")


class PPO(_Algorithm):
    """Proximal policy optimization (Schulman et al. 2017) of E r(x,y) − β KL(π‖π_ref), r a learned reward (Ziegler et al. 2019)."""

    type: Literal["ppo"] = Field(default="ppo", description="Algorithm.")
    learning_rate: float = Field(default=3e-6, gt=0, description="Peak rate of policy and value model (TRL's default: 3e-6).")
    kl_coefficient: float = Field(default=0.05, ge=0, description="β: price of a nat of KL to the parent (TRL's default: 0.05).")
    response_length: int = Field(default=53, ge=1, description="Tokens an answer may have at most (TRL's default: 53).")
    temperature: float = Field(default=0.7, gt=0, description="Softmax temperature of the rollouts (TRL's default: 0.7).")
    ppo_epochs: int = Field(default=4, ge=1, description="Passes over a batch of episodes (TRL's default: 4).")
    mini_batches: int = Field(default=1, ge=1, description="Updates a pass; divides batch_size (TRL's default: 1).")
    reward: RewardModel = Field(description="How the reward model is trained.")
    phase = "ppo"

    @model_validator(mode="after")
    def _whole_mini_batches(self) -> Self:
        if self.batch_size % self.mini_batches:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of mini_batches {self.mini_batches}")
        return self


Algorithm = Annotated[SFT | DPO | SimPO | PPO, Field(discriminator="type")]


def total_steps(algorithm: SFT | DPO | SimPO | PPO, n_rows: int) -> int:
    """Optimizer steps of a run, known before it starts.

    Args:
        algorithm: What is trained.
        n_rows: Rows of the dataset file, 1 or more; rows that turn out too long count too, so that the plan is exact.
    """
    return algorithm.total_steps(n_rows)
