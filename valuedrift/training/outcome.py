"""What a trainer reports beside its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts of one training."""

    dropped: int
    """Rows left out because the prompt alone fills max_length."""
    cut: int
    """Rows of which an answer was cut at max_length."""
    reward_accuracy: float | None = None
    """PPO: how well the reward model ranks the pairs."""
