"""Simple preference optimization through ``trl.experimental.cpo.CPOTrainer``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from valuedrift.progress import Progress
from valuedrift.training.algorithms import SimPO
from valuedrift.training.encode import Tokens
from valuedrift.training.keeper import Keeper, Publisher
from valuedrift.training.loop import POLICY, run_trainer, step_report
from valuedrift.training.pairs import keep_rewards, pair_logps
from valuedrift.training.setup import Resumable, Setup


class _Trainer(Resumable, CPOTrainer):  # type: ignore[misc] # trl is followed as Any
    """TRL's, on pairs that are tokens already, with logits for answers only."""

    def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
        return {}  # TRL's own would add a second end token after the chat template's

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        logps, lengths = pair_logps(model, inputs)
        losses, chosen, rejected = self.cpo_loss(*(logps / lengths).chunk(2))
        keep_rewards(self._stored_metrics["train"], chosen, rejected)
        return losses.mean()


def train(setup: Setup, tokens: Tokens, publisher: Publisher, progress: Callable[[Progress], None]) -> None:
    """Train on preferences, without a reference."""
    algorithm = setup.job.algorithm
    assert isinstance(algorithm, SimPO)
    data = setup.ordered(tokens.rows, algorithm, setup.total)

    def build(keeper: Keeper) -> _Trainer:
        config = CPOConfig(
            **setup.arguments(POLICY, algorithm, setup.total),
            loss_type="simpo",
            cpo_alpha=0.0,
            beta=algorithm.beta,
            simpo_gamma=algorithm.gamma,
            max_length=algorithm.max_length,
        )
        return _Trainer(
            model=setup.load_policy(),
            args=config,
            train_dataset=data,
            processing_class=setup.tokenizer,
            data_collator=DataCollatorForPreference(pad_token_id=setup.tokenizer.pad_token_id),
            peft_config=setup.lora(algorithm.lora),
            callbacks=[keeper],
        )

    report = step_report(progress, "simpo", setup.total)
    run_trainer(build, setup.folder, phase=POLICY, seed=setup.job.seed, total=setup.total, publisher=publisher, report=report)
