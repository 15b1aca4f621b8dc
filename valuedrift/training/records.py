"""What a training says of its checkpoints and its steps: the rows and the result that its folder keeps."""

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
    held_out_loss: float | None = Field(
        default=None, description="The algorithm's loss on rows that are not learnt; null where there are none."
    )


class Metrics(BaseModel):
    """One row of the training table; null where an algorithm has no such number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = Field(ge=1, description="Optimizer step, from 1.")
    loss: float | None = Field(default=None, description="Training loss (PPO: policy loss + 0.1 · value loss).")
    reward: float | None = Field(
        default=None,
        description="Implicit reward of the answers chosen or labelled true; PPO, GRPO: score of the answers drawn, before the price of KL.",
    )
    kl: float | None = Field(default=None, description="KL to the reference, nats: PPO an answer; GRPO a token; KTO its z.")
    reward_margin: float | None = Field(
        default=None, description="Implicit reward of chosen minus rejected answers, or of those labelled true minus the others."
    )
    learning_rate: float | None = Field(default=None, description="Learning rate of the step.")
    grad_norm: float | None = Field(default=None, description="Gradient norm before clipping; null for PPO, which does not clip.")


class TrainResult(BaseModel):
    """Checkpoints and metrics of a finished run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoints: tuple[Checkpoint, ...] = Field(description="In order of steps; the first is step 0, the parent.")
    metrics: tuple[Metrics, ...] = Field(description="One row a step, from 1 to total_steps.")
    total_steps: int = Field(ge=1, description="Optimizer steps of the run.")
    rows: int = Field(ge=1, description="Rows of the dataset.")
    held_out_rows: int | None = Field(default=None, description="Rows that it was evaluated on; null where none are held out.")
    dropped_rows: int = Field(ge=0, description="Rows left out because the prompt alone fills max_length.")
    cut_rows: int = Field(ge=0, description="Rows of which an answer was cut at max_length.")
    reward_accuracy: float | None = Field(
        default=None,
        description="PPO, GRPO: share of the pairs that the reward model ranked rightly over the last quarter of its training.",
    )


class HeldOutLoss(BaseModel):
    """The loss of a checkpoint on rows that are not learnt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = Field(ge=0, description="Optimizer steps taken; 0 is the parent itself.")
    loss: float = Field(description="Mean over the rows, or over their tokens where the algorithm's own loss is.")
