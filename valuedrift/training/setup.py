"""What every trainer is given: the parent, arguments, low-rank adapters, and the data in their order."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig, TaskType

from valuedrift.errors import UserError
from valuedrift.fingerprint import seed_from
from valuedrift.models.loading import load_causal_lm
from valuedrift.training.encode import Encoded
from valuedrift.training.folder import POLICY, RunFolder
from valuedrift.training.options import Lora, Optimisation, PolicyOptions, Precision
from valuedrift.weights import Weights

SHORT = 512
"""Tokens up to which plain attention is the faster one on a CPU: the backward pass of torch's fused kernel takes a sixth of a bfloat16 step there."""


@dataclass(frozen=True)
class Setup:
    """A job with what was decided for this machine.

    Args:
        weights: The parent.
        options: What the algorithm's settings say of any training.
        seed: Seed of the run.
        most_at_once: Examples that a process has in memory at once, at most; None: no limit.
        folder: The run's folder.
        rows: Rows of the dataset file.
        total: Optimizer steps of the run.
        device: ``cpu`` or ``cuda``.
        bf16: Whether the computation is in bfloat16.
        tokenizer: The parent's tokenizer, with a padding token.
        held_out: Rows that it is evaluated on; None: it is not.
        processes: How many train together, each with its share of every batch.
        sharded: Whether each holds a share of the model.
        recomputed: Whether layers are computed again for their gradients, to save memory.
    """

    weights: Weights
    options: PolicyOptions
    seed: int
    most_at_once: int | None
    folder: RunFolder
    rows: int
    total: int
    device: str
    bf16: bool
    tokenizer: Any
    held_out: list[Encoded] | None = None
    processes: int = 1
    sharded: bool = False
    recomputed: bool = False

    def load_policy(self) -> Any:
        """The parent, its adapters merged, as the model to train.

        Under low-rank adapters its own weights stay as they are and may be in bfloat16; trained weights never are: small updates vanish there.
        """
        low = self.bf16 and self.options.lora is not None
        model, _ = load_causal_lm(self.weights, dtype="bfloat16" if low else "float32", device=self.device)
        if self.device == "cpu" and self.options.max_length <= SHORT:
            model.set_attn_implementation("eager")
        return model

    def reference(self, policy: Any, dtype: Precision) -> Any | None:
        """A copy of the policy before training; None under adapters, where the reference is the policy with them off.

        TRL would load one from a path, which a merged stack does not have.

        Args:
            policy: As it was loaded.
            dtype: In which the copy is kept.
        """
        if self.options.lora is not None:
            return None
        reference = copy.deepcopy(policy)
        for weight in reference.parameters():  # not its buffers: angles of positions need float32
            weight.data = weight.data.to(getattr(torch, dtype))
        return reference

    def policy_arguments(self) -> dict[str, Any]:
        """Arguments common to TRL's trainers, for the model that the run is about."""
        return self.arguments(POLICY, self.options, self.total)

    def arguments(self, model: str, what: Optimisation, total: int) -> dict[str, Any]:
        """Arguments common to TRL's trainers.

        Args:
            model: Which model is trained: a folder under ``_state`` to save into.
            what: Length, rate and size of the training.
            total: Its optimizer steps.
        """
        micro = self.micro_batch(what.batch_size)
        return {
            "output_dir": str(self.folder.state / model),
            "per_device_train_batch_size": micro,
            "per_device_eval_batch_size": micro,
            "gradient_accumulation_steps": what.batch_size // self.processes // micro,
            "max_steps": total,
            "learning_rate": what.learning_rate,
            "lr_scheduler_type": "constant_with_warmup" if what.schedule == "constant" else what.schedule,
            "warmup_steps": round(what.warmup_ratio * total),
            "weight_decay": what.weight_decay,
            "optim": "adamw_torch_fused" if self.device == "cuda" else "adamw_torch",
            "train_sampling_strategy": "sequential",
            "seed": self.seed,
            "data_seed": self.seed,
            "bf16": self.bf16,
            "fp16": False,
            "use_cpu": self.device == "cpu",
            "gradient_checkpointing": self.recomputed,  # on by TRL's default, and a third slower
            "gradient_checkpointing_kwargs": {"use_reentrant": False} if self.recomputed else None,
            "dataloader_pin_memory": False,
            "ddp_find_unused_parameters": False,  # all that is trained is used in every step
            "ddp_broadcast_buffers": False,  # and no buffer is learnt
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
        """Examples that a process has in memory at once: the largest divisor of its share of a batch that is no larger than the job allows."""
        share = batch_size // self.processes
        limit = min(share, self.most_at_once or share)
        return next(size for size in range(limit, 0, -1) if share % size == 0)

    def ordered(self, rows: list[Encoded], at_once: int, total: int) -> Dataset:
        """The rows in the order in which training sees them, one after the other; within a batch by length, so that little is padding.

        Args:
            rows: All rows.
            at_once: Rows a step.
            total: Steps.
        """
        order = row_order(len(rows), total * at_once, self.seed)
        lengths = [sum(len(ids) for ids in row.values() if isinstance(ids, list)) for row in rows]
        batches = [order[start : start + at_once] for start in range(0, len(order), at_once)]
        return Dataset.from_list(rows).select([row for batch in batches for row in sorted(batch, key=lambda row: (lengths[row], row))])

    @staticmethod
    def lora(config: Lora | None, head: bool = False) -> LoraConfig | None:
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


def choose_device(device: str) -> str:
    """Where to train: ``cpu`` or ``cuda``.

    Args:
        device: What is asked for; ``auto`` takes a GPU if torch sees one.

    Raises:
        UserError: A GPU is asked for and there is none.
    """
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise UserError("device cuda is asked for, but torch sees no GPU", where="runtime.device", fix="device: auto or cpu")
    return "cuda" if cuda and device != "cpu" else "cpu"


def row_order(n_rows: int, n_draws: int, seed: int) -> list[int]:
    """Draw rows: each pass over the data is a fresh permutation, and a batch may span two passes, so every batch is full.

    The order follows from the seed alone, so that a resumed run continues where it was.

    Args:
        n_rows: Rows to draw from, at least 1.
        n_draws: How many are drawn (optimizer steps times batch size).
        seed: The run's seed.

    Returns:
        Row numbers; any two rows are drawn equally often, give or take one.
    """
    passes = -(-n_draws // n_rows)
    draws = [np.random.default_rng(seed_from("rows", seed, index)).permutation(n_rows) for index in range(passes)]
    return [int(row) for row in np.concatenate(draws)[:n_draws]] if draws else []
