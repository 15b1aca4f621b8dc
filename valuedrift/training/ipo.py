"""Identity preference optimization through ``trl.DPOTrainer``, whose ``loss_type`` is ``ipo`` then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from valuedrift.training import dpo
from valuedrift.training.algorithm import OfflineAlgorithm, Referenced

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

    from valuedrift.training.keeper import Keeper
    from valuedrift.training.setup import Setup


class IPO(Referenced, OfflineAlgorithm):
    """Identity preference optimization (Azar et al. 2023): the margin is drawn to a goal of 1/(2β), not to infinity."""

    type: Literal["ipo"] = Field(default="ipo", description="Algorithm.")
    learning_rate: float = Field(default=1e-6, gt=0, description="Peak learning rate (TRL's default: 1e-6).")
    beta: float = Field(default=0.1, gt=0, description="β, the paper's τ: the larger, the closer to the reference, the parent (TRL: 0.1).")

    title = "IPO"
    loss = "E (1/|y_w| log π(y_w)/π_ref(y_w) − 1/|y_l| log π(y_l)/π_ref(y_l) − 1/(2β))²"
    data = "pairs"
    when = "pairs that are few or nearly always won: DPO would push their margin on without end"
    kind = "preference"
    answers = 2

    def trainer(self, setup: Setup, data: Dataset, keeper: Keeper) -> Any:
        """TRL's, on pairs that are tokens already."""
        return dpo.build(dpo.trainer_class(pair_losses), self, self.beta, setup, data, keeper, loss_type=["ipo"])


def pair_losses(ratios: Tensor, lengths: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """The loss of each pair, and the implicit rewards of its answers, whose margin the loss draws to ½.

    Means over tokens as in TRL, not sums: else the goal would mean more to a short answer than to a long one.

    Args:
        ratios: log π/π_ref of each answer, the chosen ones first; shape (2 · pairs,).
        lengths: Tokens of each answer, same shape.
        beta: β.
    """
    means = ratios / lengths
    chosen, rejected = means.chunk(2)
    return (chosen - rejected - 1 / (2 * beta)) ** 2, beta * means
