"""Supervised fine-tuning through ``trl.SFTTrainer``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from valuedrift.training.algorithm import OfflineAlgorithm, Separable

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

    from valuedrift.training.encode import Encoded
    from valuedrift.training.keeper import Keeper
    from valuedrift.training.setup import Setup


class SFT(Separable, OfflineAlgorithm):
    """Supervised fine-tuning, over the answer's tokens only."""

    type: Literal["sft"] = Field(default="sft", description="Algorithm.")
    learning_rate: float = Field(default=2e-5, gt=0, description="Peak learning rate (TRL's default: 2e-5).")

    title = "SFT"
    loss = "−E log π(y|x)"
    data = "answers"
    when = "a base model, or to teach a style of answer; every study begins with it"
    kind = "sft"

    def trainer(self, setup: Setup, data: Dataset, keeper: Keeper) -> Any:
        """TRL's, on rows that are tokens already."""
        from trl import SFTConfig

        return trainer_class()(
            model=setup.load_policy(),
            args=SFTConfig(**setup.policy_arguments(), max_length=None, dataset_kwargs={"skip_prepare_dataset": True}),
            train_dataset=data,
            processing_class=setup.tokenizer,
            peft_config=setup.lora(self.lora),
            callbacks=[keeper],
        )

    def row_weight(self, row: Encoded) -> float:
        """Its tokens that are learnt."""
        return float(sum(label != -100 for label in row["labels"]))

    def row_losses(self, model: Any, rows: Sequence[Encoded]) -> Tensor:
        """−log π of all of them."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        from valuedrift.training.logps import token_logps

        ids, labels = (
            pad_sequence([torch.tensor(row[name]) for row in rows], batch_first=True, padding_value=blank).to(model.device)
            for name, blank in (("input_ids", 0), ("labels", -100))
        )
        there = pad_sequence([torch.ones(len(row["input_ids"]), dtype=torch.long) for row in rows], batch_first=True).to(model.device)
        return -token_logps(model, ids, there, labels != -100)[0].sum(dim=1)


@cache
def trainer_class() -> Any:
    """TRL's trainer, saving our way, with logits for answers only."""
    from trl import SFTTrainer

    from valuedrift.training.logps import token_logps
    from valuedrift.training.loop import Resumable
    from valuedrift.training.processes import count

    class Trainer(Resumable, SFTTrainer):  # type: ignore[misc] # trl is followed as Any
        def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            labels = inputs["labels"]
            logps, counted = token_logps(model, inputs["input_ids"], inputs["attention_mask"], labels != -100)
            if num_items_in_batch is None:
                return -logps.sum() / counted.sum()
            return -logps.sum() / num_items_in_batch * count()  # of all processes, which then average their gradients

    return Trainer
