"""Direct preference optimization through ``trl.DPOTrainer``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from trl import DPOConfig, DPOTrainer

from valuedrift.progress import Progress
from valuedrift.training.algorithms import DPO
from valuedrift.training.encode import Tokens
from valuedrift.training.keeper import Keeper, Publisher
from valuedrift.training.loop import POLICY, run_trainer, step_report
from valuedrift.training.pairs import keep_rewards, pair_logps
from valuedrift.training.setup import Resumable, Setup


class _Trainer(Resumable, DPOTrainer):  # type: ignore[misc] # trl is followed as Any
    """TRL's, on pairs that are tokens already, with logits for answers only."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        logps, _ = pair_logps(model, inputs)
        with torch.no_grad():
            if self.ref_model is None:
                with self.accelerator.unwrap_model(model).disable_adapter():
                    reference, _ = pair_logps(model, inputs)
            else:
                reference, _ = pair_logps(self.ref_model, inputs)
        chosen, rejected = (self.beta * (logps - reference)).chunk(2)
        keep_rewards(self._metrics["train"], chosen, rejected)
        return -functional.logsigmoid(chosen - rejected).mean()


def train(setup: Setup, tokens: Tokens, publisher: Publisher, progress: Callable[[Progress], None]) -> None:
    """Train on preferences, with the parent as the reference."""
    algorithm = setup.job.algorithm
    assert isinstance(algorithm, DPO)
    data = setup.ordered(tokens.rows, algorithm, setup.total)

    def build(keeper: Keeper) -> _Trainer:
        config = DPOConfig(**setup.arguments(POLICY, algorithm, setup.total), beta=algorithm.beta, max_length=None)
        policy = setup.load_policy()
        # under adapters the reference is the policy with them off; else TRL would load one from a path, which a merged stack does not have
        reference = copy.deepcopy(policy) if algorithm.lora is None else None
        return _Trainer(
            model=policy,
            ref_model=reference,
            args=config,
            train_dataset=data,
            processing_class=setup.tokenizer,
            peft_config=setup.lora(algorithm.lora),
            callbacks=[keeper],
        )

    report = step_report(progress, "dpo", setup.total)
    run_trainer(build, setup.folder, phase=POLICY, seed=setup.job.seed, total=setup.total, publisher=publisher, report=report)
