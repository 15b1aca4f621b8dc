"""Direct preference optimization through ``trl.DPOTrainer``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from valuedrift.training.algorithm import OfflineAlgorithm, Referenced

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

    from valuedrift.training.keeper import Keeper
    from valuedrift.training.setup import Setup


class DPO(Referenced, OfflineAlgorithm):
    """Direct preference optimization (Rafailov et al. 2023)."""

    type: Literal["dpo"] = Field(default="dpo", description="Algorithm.")
    learning_rate: float = Field(default=1e-6, gt=0, description="Peak learning rate (TRL's default: 1e-6).")
    beta: float = Field(default=0.1, gt=0, description="β: price of leaving the reference, the parent (DPO paper and TRL: 0.1).")

    title = "DPO"
    loss = "−E log σ(β log π(y_w)/π_ref(y_w) − β log π(y_l)/π_ref(y_l))"
    data = "pairs"
    when = "the usual choice on pairs"
    kind = "preference"
    answers = 2

    def trainer(self, setup: Setup, data: Dataset, keeper: Keeper) -> Any:
        """TRL's, on pairs that are tokens already."""
        return build(trainer_class(), self, self.beta, setup, data, keeper)


def build(trainer: Any, algorithm: Referenced, beta: float, setup: Setup, data: Dataset, keeper: Keeper, **loss: Any) -> Any:
    """A trainer that compares the policy's log-probabilities with those of the parent.

    Args:
        trainer: A subclass of TRL's DPO trainer.
        algorithm: Whose settings these are.
        beta: β.
        setup: The job.
        data: Pairs in order.
        keeper: Saves.
        **loss: What TRL's configuration should say of the loss.
    """
    from trl import DPOConfig

    policy = setup.load_policy()
    return trainer(
        model=policy,
        ref_model=setup.reference(policy, algorithm.reference_dtype),
        args=DPOConfig(**setup.policy_arguments(), beta=beta, max_length=None, **loss),
        train_dataset=data,
        processing_class=setup.tokenizer,
        peft_config=setup.lora(setup.options.lora),
        callbacks=[keeper],
    )


def pair_losses(ratios: Tensor, lengths: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """The loss of each pair, and the implicit rewards of its answers.

    Args:
        ratios: log π/π_ref of each answer, the chosen ones first; shape (2 · pairs,).
        lengths: Tokens of each answer, same shape.
        beta: β.
    """
    from torch.nn.functional import logsigmoid

    rewards = beta * ratios
    chosen, rejected = rewards.chunk(2)
    return -logsigmoid(chosen - rejected), rewards


@cache
def trainer_class(losses: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]] = pair_losses) -> Any:
    """TRL's trainer, on pairs that are tokens already, with logits for answers only.

    Args:
        losses: Losses and rewards of a batch, as ``pair_losses``.
    """
    from trl import DPOTrainer

    from valuedrift.training.logps import keep_rewards, pair_logps, reference_logps
    from valuedrift.training.loop import Resumable

    class Trainer(Resumable, DPOTrainer):  # type: ignore[misc] # trl is followed as Any
        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

        def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            logps, lengths = pair_logps(model, inputs)
            reference, _ = reference_logps(self, model, lambda anchor: pair_logps(anchor, inputs))
            each, rewards = losses(logps - reference, lengths, self.beta)
            keep_rewards(self._metrics["train"], *rewards.chunk(2))
            return each.mean()

    return Trainer
