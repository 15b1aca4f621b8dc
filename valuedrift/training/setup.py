"""What every trainer is given: arguments, low-rank adapters, the data in its order."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.state import AcceleratorState, GradientState
from datasets import Dataset
from peft import LoraConfig, TaskType
from transformers import Trainer, set_seed

from valuedrift.errors import UserError
from valuedrift.models.loading import load_causal_lm
from valuedrift.training.algorithms import Lora, Optimisation
from valuedrift.training.encode import Encoded
from valuedrift.training.folder import RunFolder
from valuedrift.training.job import TrainJob
from valuedrift.training.order import row_order

SHORT = 512
"""Tokens up to which plain attention is the faster one on a CPU: the backward pass of torch's fused kernel takes a sixth of a bfloat16 step there."""


@dataclass(frozen=True)
class Setup:
    """A job with what was decided for this machine.

    Args:
        job: The job.
        folder: Its folder.
        rows: Rows of the dataset file.
        total: Optimizer steps of the run.
        device: ``cpu`` or ``cuda``.
        bf16: Whether the computation is in bfloat16.
        tokenizer: The parent's tokenizer, with a padding token.
    """

    job: TrainJob
    folder: RunFolder
    rows: int
    total: int
    device: str
    bf16: bool
    tokenizer: Any

    def load_policy(self) -> Any:
        """The parent, its adapters merged, as the model to train.

        Under low-rank adapters its own weights stay as they are and may be in bfloat16; trained weights never are: small updates vanish there.
        """
        low = self.bf16 and self.job.algorithm.lora is not None
        model, _ = load_causal_lm(self.job.weights, dtype="bfloat16" if low else "float32", device=self.device)
        if self.device == "cpu" and self.job.algorithm.max_length <= SHORT:
            model.set_attn_implementation("eager")
        return model

    def arguments(self, phase: str, what: Optimisation, total: int) -> dict[str, Any]:
        """Arguments common to TRL's trainers.

        Args:
            phase: Folder under ``_state`` to save into.
            what: Length, rate and size of the training.
            total: Its optimizer steps.
        """
        micro = self.micro_batch(what.batch_size)
        return {
            "output_dir": str(self.folder.state / phase),
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": what.batch_size // micro,
            "max_steps": total,
            "learning_rate": what.learning_rate,
            "lr_scheduler_type": "constant_with_warmup" if what.schedule == "constant" else what.schedule,
            "warmup_steps": round(what.warmup_ratio * total),
            "weight_decay": what.weight_decay,
            "optim": "adamw_torch",
            "train_sampling_strategy": "sequential",
            "seed": self.job.seed,
            "data_seed": self.job.seed,
            "bf16": self.bf16,
            "fp16": False,
            "use_cpu": self.device == "cpu",
            "gradient_checkpointing": False,  # on by TRL's default, and a third slower; micro_batch is our way to save memory
            "dataloader_pin_memory": False,
            "remove_unused_columns": False,
            "logging_strategy": "steps",
            "logging_steps": 1,
            "logging_nan_inf_filter": False,
            "save_strategy": "no",  # the Keeper decides
            "eval_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
        }

    def micro_batch(self, batch_size: int) -> int:
        """Examples in memory at once: the largest divisor of the batch that is no larger than the job allows."""
        limit = min(batch_size, self.job.micro_batch or batch_size)
        return next(size for size in range(limit, 0, -1) if batch_size % size == 0)

    def ordered(self, rows: list[Encoded], what: Optimisation, total: int) -> Dataset:
        """The rows in the order in which training sees them, one after the other; within a batch by length, so that little is padding."""
        order = row_order(len(rows), total * what.batch_size, self.job.seed)
        lengths = [sum(map(len, row.values())) for row in rows]
        batches = [order[start : start + what.batch_size] for start in range(0, len(order), what.batch_size)]
        return Dataset.from_list(rows).select([row for batch in batches for row in sorted(batch, key=lambda row: (lengths[row], row))])

    def lora(self, config: Lora | None, head: bool = False) -> LoraConfig | None:
        """PEFT's configuration of low-rank adapters.

        Args:
            config: Ours, or none for full weights.
            head: Whether the model has a scalar head, which is then trained in full.
        """
        if config is None:
            return None
        return LoraConfig(
            r=config.r,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            target_modules=config.target_modules if isinstance(config.target_modules, str) else list(config.target_modules),
            task_type=TaskType.SEQ_CLS if head else TaskType.CAUSAL_LM,
        )


class Resumable:
    """Mixin of trainers: saves without the model card that TRL would write at every save."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        Trainer._save_checkpoint(self, model, trial)


def fresh_start(seed: int) -> None:
    """Seed all random numbers, and forget the last trainer of this process.

    Accelerate keeps the precision and the loaders of the first trainer for the whole process: PPO's policy would be computed in that of its reward
    model, and a job in float32 after one in bfloat16 would fail.
    """
    AcceleratorState._reset_state()
    GradientState._reset_state()
    set_seed(seed)


def choose_device(job: TrainJob) -> tuple[str, bool]:
    """Device and whether to compute in bfloat16.

    Raises:
        UserError: A GPU is asked for and there is none, or several processes are to train together.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("training over several processes is not supported yet", where="runtime.launcher", fix="leave launcher empty")
    cuda = torch.cuda.is_available()
    if job.device == "cuda" and not cuda:
        raise UserError("device cuda is asked for, but torch sees no GPU", where="runtime.device", fix="device: auto or cpu")
    device = "cuda" if cuda and job.device != "cpu" else "cpu"
    return device, job.precision == "bfloat16"
