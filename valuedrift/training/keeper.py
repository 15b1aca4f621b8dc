"""When a training is saved, what is kept of its steps, and who is told."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from valuedrift.errors import StoppedError, UserError
from valuedrift.training.folder import RunFolder
from valuedrift.training.processes import agreed, rank, wait
from valuedrift.training.publishing import Publisher, second_moments
from valuedrift.training.records import HeldOutLoss, Metrics
from valuedrift.training.sharding import is_sharded

Report = Callable[[int, Mapping[str, float]], None]
"""Is told of a step and of what the trainer logs at it."""
_METRICS: dict[str, tuple[str, ...]] = {
    "loss": ("loss",),
    "reward": ("rewards/chosen", "objective/scores", "reward"),
    "kl": ("objective/kl", "kl"),
    "reward_margin": ("rewards/margins",),
    "learning_rate": ("learning_rate", "lr"),
    "grad_norm": ("grad_norm",),
}
"""Our column: the names under which TRL's trainers log it."""


class Keeper(TrainerCallback):  # type: ignore[misc] # transformers is followed as Any
    """Saves a trainer on schedule and records its metrics.

    Args:
        folder: The run's folder.
        model: Which model is trained: a folder under ``_state`` that the trainer saves into.
        progress: Told of every step as ``progress(step, logs)``.
        publisher: Makes checkpoints; none for a reward model, whose metrics are not the run's either.
    """

    def __init__(self, folder: RunFolder, model: str, progress: Report, publisher: Publisher | None) -> None:
        self.folder = folder
        self.model = model
        self.progress = progress
        self.publisher = publisher
        self.evaluate: Callable[[], float] | None = None
        """The loss on rows that are not learnt, as the model is now; None where none are held out."""
        self.loss: float | None = None
        self.stopping = False
        """Whether somebody asked for the training to end here, its state saved."""
        self.saved = self.stepped = time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Evaluate the parent."""
        self.saved = self.stepped = time.monotonic()
        if state.global_step == 0:
            self._evaluate(0)

    def _evaluate(self, step: int) -> None:
        if self.evaluate is not None and agreed(lambda: all(row.step != step for row in self.folder.held_out_losses())):
            loss = self.evaluate()
            if rank() == 0:
                self.folder.add_held_out_loss(HeldOutLoss(step=step, loss=loss))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        """Ask for a save where the schedule has one, at the end, and when the training is to stop.

        Also when the last would be too old at the end of another step as long as this one.
        """
        step, now = state.global_step, time.monotonic()
        wanted = self.publisher is not None and step in self.publisher.steps
        took, self.stepped = now - self.stepped, now
        old, self.stopping = agreed(lambda: (now + took - self.saved > self.folder.state_seconds, self.folder.is_to_stop()))
        control.should_save = wanted or step >= state.max_steps or old or self.stopping
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
                where=f"{self.model} with learning_rate {args.learning_rate:g}",
                fix="a lower learning_rate, or some warm-up (warmup_ratio)",
            )
        self.loss = row.loss
        if self.publisher is not None:
            self.folder.add_metrics(row)
        self.progress(state.global_step, logs)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Publish the checkpoint first, then make the state the one to resume from: no state is ever ahead of its checkpoints.

        Raises:
            StoppedError: The training is to stop, and has steps left.
        """
        if self.publisher is not None and state.global_step in self.publisher.steps:
            self._evaluate(state.global_step)
        wait()  # until each process has written its random numbers
        if rank() == 0:
            written = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if self.publisher is not None:
                model = kwargs["model"]
                kept = self.publisher.moments and not is_sharded(model)
                moments = second_moments(model, kwargs["optimizer"]) if kept else None
                self.publisher.publish(state.global_step, written, self.loss, moments)
            self.folder.keep_state(self.model, state.global_step, written)
        self.saved = self.stepped = time.monotonic()
        if self.stopping and state.global_step < state.max_steps:
            wait()  # until the state is in place: the parent ends all of them at the first word
            raise StoppedError(f"stopped; the state of step {state.global_step} of the {self.model} is saved")


def metrics_row(step: int, logs: Mapping[str, float]) -> Metrics:
    """Our row of what a trainer logs at a step."""
    found = {column: next((float(logs[name]) for name in names if name in logs), None) for column, names in _METRICS.items()}
    return Metrics(step=step, **found)
