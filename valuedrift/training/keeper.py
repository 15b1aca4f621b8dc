"""The callback that decides when a training is saved, and keeps its metrics, checkpoints and state."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from valuedrift.errors import UserError
from valuedrift.training.folder import RunFolder
from valuedrift.training.result import Metrics
from valuedrift.weights import Weights

Report = Callable[[int, Mapping[str, float]], None]
"""Is told of a step and of what the trainer logs at it."""
STATE_EVERY_SECONDS = 120.0
"""A state to resume from is at most this old, however far apart the checkpoints are; on resuming nothing older is redone."""

_METRICS: dict[str, tuple[str, ...]] = {
    "loss": ("loss",),
    "reward": ("rewards/chosen", "objective/scores"),
    "kl": ("objective/kl",),
    "reward_margin": ("rewards/margins",),
    "learning_rate": ("learning_rate", "lr"),
    "grad_norm": ("grad_norm",),
}
"""Our column: the names under which TRL's trainers log it."""

_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "chat_template.jinja",
    "chat_template.json",
)


class Publisher:
    """Turns a trainer's saved folder into a checkpoint.

    Args:
        folder: The run's folder.
        parent: Weights that training started from.
        steps: Steps to publish.
        total: Steps of the run.
    """

    def __init__(self, folder: RunFolder, parent: Weights, steps: frozenset[int], total: int) -> None:
        self.folder = folder
        self.parent = parent
        self.steps = steps
        self.total = total

    def publish(self, step: int, written: Path, loss: float | None) -> None:
        """Make the checkpoint of a step from what a trainer wrote, if the schedule asks for it."""
        if step not in self.steps:
            return
        adapter = (written / "adapter_config.json").exists()
        about = {"step": step, "total_steps": self.total, "adapter": adapter, "train_loss": loss}
        self.folder.publish(step, lambda target: (_copy_adapter if adapter else _copy_model)(written, target, self.parent), about)


class Keeper(TrainerCallback):  # type: ignore[misc] # transformers is followed as Any
    """Saves a trainer on schedule and records its metrics.

    Args:
        folder: The run's folder.
        phase: Folder under ``_state`` that the trainer saves into.
        progress: Told of every step as ``progress(step, logs)``.
        publisher: Makes checkpoints; none for a reward model, whose metrics are not the run's either.
    """

    def __init__(self, folder: RunFolder, phase: str, progress: Report, publisher: Publisher | None) -> None:
        self.folder = folder
        self.phase = phase
        self.progress = progress
        self.publisher = publisher
        self.loss: float | None = None
        self.saved = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        """Ask for a save where the schedule has one, at the end, and when the last is long ago."""
        step = state.global_step
        wanted = self.publisher is not None and step in self.publisher.steps
        control.should_save = wanted or step >= state.max_steps or time.monotonic() - self.saved > STATE_EVERY_SECONDS
        return control

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **kwargs: Any) -> None:
        """Keep the step's row (the trainer's closing summary, which has no learning rate, is not one).

        Raises:
            UserError: The training has diverged.
        """
        if not state.is_world_process_zero or not {"learning_rate", "lr"} & logs.keys():
            return
        row = metrics_row(state.global_step, logs)
        if row.loss is None or not math.isfinite(row.loss):
            raise UserError(
                f"the loss of step {state.global_step} is not a number",
                where=f"{self.phase} with learning_rate {args.learning_rate:g}",
                fix="a lower learning_rate, or some warm-up (warmup_ratio)",
            )
        self.loss = row.loss
        if self.publisher is not None:
            self.folder.add_metrics(row)
        self.progress(state.global_step, logs)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Publish the checkpoint first, then make the state the one to resume from: no state is ever ahead of its checkpoints."""
        if not state.is_world_process_zero:
            return
        written = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.publisher is not None:
            self.publisher.publish(state.global_step, written, self.loss)
        self.folder.keep_state(self.phase, state.global_step, written)
        self.saved = time.monotonic()


def metrics_row(step: int, logs: Mapping[str, float]) -> Metrics:
    """Our row of what a trainer logs at a step."""
    found = {column: next((float(logs[name]) for name in names if name in logs), None) for column, names in _METRICS.items()}
    return Metrics(step=step, **found)


def _copy_adapter(written: Path, target: Path, parent: Weights) -> None:
    shutil.copyfile(written / "adapter_model.safetensors", target / "adapter_model.safetensors")
    config = json.loads((written / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = None  # the stack says what it lies on; a path would be of this machine
    for name, value in config.items():
        if isinstance(value, list):  # sets in PEFT: their order differs from process to process
            config[name] = sorted(value)
    text = json.dumps(config, indent=2, sort_keys=True)
    (target / "adapter_config.json").write_text(text + "\n", encoding="utf-8")


def _copy_model(written: Path, target: Path, parent: Weights) -> None:
    """Link, not copy: the state's files are never written again, and a model may be many gigabytes."""
    for pattern in ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"):
        for path in written.glob(pattern):
            (target / path.name).hardlink_to(path)
    for name in _TOKENIZER:  # the tokenizer as it was, not as the trainer set its padding
        if (parent.base / name).exists():
            shutil.copyfile(parent.base / name, target / name)
