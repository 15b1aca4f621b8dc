"""The reward model of online algorithms through ``trl.RewardTrainer``: the parent with a scalar head, on the same pairs."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForSequenceClassification
from trl import RewardConfig, RewardTrainer

from valuedrift.training.encode import Encoded
from valuedrift.training.keeper import Keeper, Report
from valuedrift.training.loop import Resumable, run_trainer
from valuedrift.training.options import Optimisation
from valuedrift.training.setup import Setup

REWARD = "reward"
"""Folder of its state."""


class _Trainer(Resumable, RewardTrainer):  # type: ignore[misc] # trl is followed as Any
    """TRL's, saving our way."""


def train_reward_model(setup: Setup, pairs: list[Encoded], options: Optimisation, total: int, report: Report) -> tuple[Any, float | None]:
    """Train, or take up a training that was killed; one that is finished is not redone.

    TRL would silently drop pairs longer than its ``max_length``; ours are cut and counted beforehand, and it is given none.

    Args:
        setup: The job; its tokenizer pads with a token that occurs nowhere else.
        pairs: ``prompt_ids``, ``chosen_ids`` and ``rejected_ids``.
        options: Length, rate and size of its training.
        total: Its optimizer steps.
        report: Told of every step.

    Returns:
        The reward model, its adapters merged, and the share of pairs it ranked rightly over the last quarter of its training.
    """
    adapters = setup.options.lora
    rows = [{"chosen_ids": row["prompt_ids"] + row["chosen_ids"], "rejected_ids": row["prompt_ids"] + row["rejected_ids"]} for row in pairs]
    data = setup.ordered(rows, options.batch_size, total)

    def build(keeper: Keeper) -> _Trainer:
        config = RewardConfig(**setup.arguments(REWARD, options, total), max_length=None)
        return _Trainer(
            model=with_scalar_head(setup.load_policy(), setup.tokenizer.pad_token_id),
            args=config,
            train_dataset=data,
            processing_class=setup.tokenizer,
            peft_config=setup.lora(adapters, head=True),
            callbacks=[keeper],
        )

    trainer = run_trainer(build, setup.folder, model=REWARD, seed=setup.seed, total=total, publisher=None, report=report)
    bare = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    model = bare if adapters is None else bare.merge_and_unload()
    return model.eval(), _late_accuracy(trainer.state.log_history)


class ScalarHead(torch.nn.Linear):
    """A head in float32 on a body of any precision."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """The score at every position."""
        return super().forward(hidden.float())


def with_scalar_head(model: Any, pad_token_id: int) -> Any:
    """The body of a causal language model under a new head of one number; the head starts at zero, so that no answer is preferred before training.

    Args:
        model: A causal language model; its body is taken over, not copied.
        pad_token_id: By which the end of a row is found.
    """
    config = model.config
    config.num_labels = 1
    config.pad_token_id = pad_token_id
    with torch.device("meta"):
        scored = AutoModelForSequenceClassification.from_config(config)
    body = getattr(model, model.base_model_prefix)
    setattr(scored, scored.base_model_prefix, body)
    weight = next(body.parameters())
    scored.score = ScalarHead(config.hidden_size, 1, bias=False, device=weight.device)
    torch.nn.init.zeros_(scored.score.weight)
    return scored


def _late_accuracy(history: list[dict[str, float]]) -> float | None:
    values = [row["accuracy"] for row in history if "accuracy" in row]
    late = values[-max(1, len(values) // 4) :]
    return sum(late) / len(late) if late else None
