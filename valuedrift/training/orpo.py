"""Odds ratio preference optimization through ``trl.experimental.orpo.ORPOTrainer``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from valuedrift.training.algorithm import OfflineAlgorithm

if TYPE_CHECKING:
    from datasets import Dataset

    from valuedrift.training.keeper import Keeper
    from valuedrift.training.setup import Setup


class ORPO(OfflineAlgorithm):
    """Odds ratio preference optimization (Hong et al. 2024): learns the chosen answer and raises its odds; no reference.

    The first term is over the answer's tokens, as the paper has it and SFT does here; TRL's own counts the prompt's too.
    """

    type: Literal["orpo"] = Field(default="orpo", description="Algorithm.")
    learning_rate: float = Field(default=1e-6, gt=0, description="Peak learning rate (TRL's default: 1e-6; the ORPO paper: 5e-6 to 8e-6).")
    beta: float = Field(
        default=0.1, gt=0, description="β, the paper's λ: weight of the odds ratio beside learning the chosen answer (TRL: 0.1)."
    )

    title = "ORPO"
    loss = "−E 1/|y_w| log π(y_w) − β E log σ(log odds(y_w)/odds(y_l)), odds = p/(1 − p), log p = 1/|y| log π(y)"
    data = "pairs"
    when = "no reference, and the chosen answers themselves are to be learnt as well"
    kind = "preference"
    answers = 2

    def trainer(self, setup: Setup, data: Dataset, keeper: Keeper) -> Any:
        """TRL's, on pairs that are tokens already."""
        from trl.experimental.orpo import ORPOConfig
        from trl.trainer.dpo_trainer import DataCollatorForPreference

        return trainer_class()(
            model=setup.load_policy(),
            args=ORPOConfig(**setup.policy_arguments(), beta=self.beta, max_length=self.max_length),
            train_dataset=data,
            processing_class=setup.tokenizer,
            data_collator=DataCollatorForPreference(pad_token_id=setup.tokenizer.pad_token_id),
            peft_config=setup.lora(self.lora),
            callbacks=[keeper],
        )


@cache
def trainer_class() -> Any:
    """TRL's trainer, on pairs that are tokens already, with logits for answers only."""
    from trl.experimental.orpo import ORPOTrainer

    from valuedrift.training.logps import keep_rewards, pair_logps
    from valuedrift.training.loop import Resumable

    class Trainer(Resumable, ORPOTrainer):  # type: ignore[misc] # trl is followed as Any
        def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
            return {}  # TRL's own would add a second end token after the chat template's

        def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            logps, lengths = pair_logps(model, inputs)
            means = (logps / lengths).chunk(2)
            odds, chosen, rejected, *_ = self.odds_ratio_loss(*means)
            keep_rewards(self._stored_metrics["train"], chosen, rejected)
            return -(means[0] + odds).mean()

    return Trainer
