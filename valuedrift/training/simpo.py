"""Simple preference optimization through ``trl.experimental.cpo.CPOTrainer``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from valuedrift.training.algorithm import OfflineAlgorithm

if TYPE_CHECKING:
    from datasets import Dataset

    from valuedrift.training.keeper import Keeper
    from valuedrift.training.setup import Setup


class SimPO(OfflineAlgorithm):
    """Simple preference optimization (Meng et al. 2024): rewards are mean log-probabilities, and there is no reference."""

    type: Literal["simpo"] = Field(default="simpo", description="Algorithm.")
    learning_rate: float = Field(default=1e-6, gt=0, description="Peak learning rate (TRL's default: 1e-6; the SimPO paper: 3e-7 to 1e-6).")
    beta: float = Field(default=2.0, gt=0, description="β: scale of the length-normalised reward (SimPO paper: 2.0 to 2.5).")
    gamma: float = Field(default=1.0, ge=0, description="γ: margin that the chosen answer should win by (SimPO paper: 0.5 to 1.6).")

    title = "SimPO"
    loss = "−E log σ(β/|y_w| log π(y_w) − β/|y_l| log π(y_l) − γ)"
    data = "pairs"
    when = "no reference wanted: less memory, and answers judged by their mean, not their length"
    kind = "preference"
    answers = 2

    def trainer(self, setup: Setup, data: Dataset, keeper: Keeper) -> Any:
        """TRL's, on pairs that are tokens already."""
        from trl.experimental.cpo import CPOConfig
        from trl.trainer.dpo_trainer import DataCollatorForPreference

        config = CPOConfig(
            **setup.policy_arguments(),
            loss_type="simpo",
            cpo_alpha=0.0,
            beta=self.beta,
            simpo_gamma=self.gamma,
            max_length=self.max_length,
        )
        return trainer_class()(
            model=setup.load_policy(),
            args=config,
            train_dataset=data,
            processing_class=setup.tokenizer,
            data_collator=DataCollatorForPreference(pad_token_id=setup.tokenizer.pad_token_id),
            peft_config=setup.lora(self.lora),
            callbacks=[keeper],
        )


@cache
def trainer_class() -> Any:
    """TRL's trainer, on pairs that are tokens already, with logits for answers only."""
    from trl.experimental.cpo import CPOTrainer

    from valuedrift.training.logps import keep_rewards, pair_logps
    from valuedrift.training.loop import Resumable

    class Trainer(Resumable, CPOTrainer):  # type: ignore[misc] # trl is followed as Any
        def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
            return {}  # TRL's own would add a second end token after the chat template's

        def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            logps, lengths = pair_logps(model, inputs)
            losses, chosen, rejected = self.cpo_loss(*(logps / lengths).chunk(2))
            keep_rewards(self._stored_metrics["train"], chosen, rejected)
            return losses.mean()

    return Trainer
