"""Supervised fine-tuning through ``trl.SFTTrainer``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trl import SFTConfig, SFTTrainer

from valuedrift.progress import Progress
from valuedrift.training.algorithms import SFT
from valuedrift.training.encode import Encoder, Tokens
from valuedrift.training.job import TrainJob
from valuedrift.training.keeper import Keeper, Publisher
from valuedrift.training.logps import token_logps
from valuedrift.training.loop import POLICY, run_trainer, step_report
from valuedrift.training.rows import Demonstration
from valuedrift.training.setup import Resumable, Setup


class _Trainer(Resumable, SFTTrainer):  # type: ignore[misc] # trl is followed as Any
    """TRL's, saving our way, with logits for answers only."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        labels = inputs["labels"]
        logps, counted = token_logps(model, inputs["input_ids"], inputs["attention_mask"], labels != -100)
        return -logps.sum() / (counted.sum() if num_items_in_batch is None else num_items_in_batch)


def encode(job: TrainJob, tokenizer: Any, rows: Sequence[Demonstration]) -> Tokens:
    """Demonstrations as tokens.

    Raises:
        DataError: Too many prompts fill max_length.
    """
    encoder = Encoder(tokenizer, job.algorithm.max_length)
    encoded = encoder.demonstrations(rows, job.dataset)
    return Tokens(encoded, encoder.dropped, encoder.cut)


def train(setup: Setup, tokens: Tokens, publisher: Publisher, progress: Callable[[Progress], None]) -> None:
    """Train on demonstrations."""
    algorithm = setup.job.algorithm
    assert isinstance(algorithm, SFT)
    data = setup.ordered(tokens.rows, algorithm, setup.total)

    def build(keeper: Keeper) -> _Trainer:
        config = SFTConfig(
            **setup.arguments(POLICY, algorithm, setup.total),
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        )
        return _Trainer(
            model=setup.load_policy(),
            args=config,
            train_dataset=data,
            processing_class=setup.tokenizer,
            peft_config=setup.lora(algorithm.lora),
            callbacks=[keeper],
        )

    report = step_report(progress, "sft", setup.total)
    run_trainer(build, setup.folder, phase=POLICY, seed=setup.job.seed, total=setup.total, publisher=publisher, report=report)
