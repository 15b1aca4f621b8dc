"""What a training leaves behind."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.weights import Weights


class Checkpoint(BaseModel):
    """A model saved at one step of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = Field(ge=0, description="Optimizer steps taken; 0 is the parent itself.")
    weights: Weights = Field(description="Where the weights lie.")
    adapter: bool = Field(description="Whether the weights are a stack of low-rank adapters on a base.")
    fingerprint: str = Field(description="Content fingerprint of the weights.")
    train_loss: float | None = Field(description="Training loss of that step; null at step 0.")


class Metrics(BaseModel):
    """One row of the training table; null where an algorithm has no such number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = Field(ge=1, description="Optimizer step, from 1.")
    loss: float | None = Field(default=None, description="Training loss (PPO: policy loss + 0.1 · value loss).")
    reward: float | None = Field(
        default=None, description="DPO, SimPO: implicit reward of the chosen answers; PPO: score of the episodes, before the price of KL."
    )
    kl: float | None = Field(default=None, description="PPO: KL to the reference, nats an episode.")
    reward_margin: float | None = Field(default=None, description="DPO, SimPO: implicit reward of chosen minus rejected answers.")
    learning_rate: float | None = Field(default=None, description="Learning rate of the step.")
    grad_norm: float | None = Field(default=None, description="Gradient norm before clipping; null for PPO, which does not clip.")


class TrainResult(BaseModel):
    """Checkpoints and metrics of a finished run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoints: tuple[Checkpoint, ...] = Field(description="In order of steps; the first is step 0, the parent.")
    metrics: tuple[Metrics, ...] = Field(description="One row a step, from 1 to total_steps.")
    total_steps: int = Field(ge=1, description="Optimizer steps of the run.")
    rows: int = Field(ge=1, description="Rows of the dataset.")
    dropped_rows: int = Field(ge=0, description="Rows left out because the prompt alone fills max_length.")
    cut_rows: int = Field(ge=0, description="Rows of which an answer was cut at max_length.")
    reward_accuracy: float | None = Field(
        default=None, description="PPO: share of the pairs that the reward model ranked rightly over the last quarter of its training."
    )
