"""The run of a TRL trainer: where it starts, when it is saved, what is kept of it, and what it resumes from."""

from __future__ import annotations

import copy
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, GradientState
from datasets import Dataset
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed

from valuedrift.errors import UserError
from valuedrift.fingerprint import seed_from
from valuedrift.progress import Progress
from valuedrift.training.folder import HeldOutLoss, Metrics, RunFolder
from valuedrift.weights import Weights, tokenizer_files

POLICY = "policy"
"""The model that a run is about; its reward model is trained before it."""
Report = Callable[[int, Mapping[str, float]], None]
"""Is told of a step and of what the trainer logs at it."""
STATE_EVERY_SECONDS = 120.0
"""A state to resume from is at most this old, however far apart the checkpoints are; on resuming nothing older is redone."""

_METRICS: dict[str, tuple[str, ...]] = {
    "loss": ("loss",),
    "reward": ("rewards/chosen", "objective/scores", "reward"),
    "kl": ("objective/kl", "kl"),
    "reward_margin": ("rewards/margins",),
    "learning_rate": ("learning_rate", "lr"),
    "grad_norm": ("grad_norm",),
}
"""Our column: the names under which TRL's trainers log it."""

_WEIGHTS = "trained.safetensors"
_OPTIMIZER = "optimizer-state.safetensors"
_SCALARS = "trainer-state.json"


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
        about: dict[str, Any] = {"step": step, "total_steps": self.total, "adapter": adapter, "train_loss": loss}
        if adapter and self.parent.adapters:
            about["on"] = str(self.parent.adapters[-1])
        self.folder.publish(step, lambda target: (_copy_adapter if adapter else _copy_model)(written, target, self.parent), about)


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
        self.saved = time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Evaluate the parent."""
        if state.global_step == 0:
            self._evaluate(0)

    def _evaluate(self, step: int) -> None:
        if self.evaluate is not None and all(row.step != step for row in self.folder.held_out_losses()):
            self.folder.add_held_out_loss(HeldOutLoss(step=step, loss=self.evaluate()))

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
                where=f"{self.model} with learning_rate {args.learning_rate:g}",
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
            if state.global_step in self.publisher.steps:
                self._evaluate(state.global_step)
            self.publisher.publish(state.global_step, written, self.loss)
        self.folder.keep_state(self.model, state.global_step, written)
        self.saved = time.monotonic()


def metrics_row(step: int, logs: Mapping[str, float]) -> Metrics:
    """Our row of what a trainer logs at a step."""
    found = {column: next((float(logs[name]) for name in names if name in logs), None) for column, names in _METRICS.items()}
    return Metrics(step=step, **found)


def _copy_adapter(written: Path, target: Path, parent: Weights) -> None:
    shutil.copyfile(written / "adapter_model.safetensors", target / "adapter_model.safetensors")
    config = json.loads((written / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"], config["revision"] = (None, None) if parent.adapters else _called(parent.base)
    for name, value in config.items():
        if isinstance(value, list):  # sets in PEFT: their order differs from process to process
            config[name] = sorted(value)
    text = json.dumps(config, indent=2, sort_keys=True)
    (target / "adapter_config.json").write_text(text + "\n", encoding="utf-8")
    _copy_tokenizer(target, parent)


def _called(base: Path) -> tuple[str, str | None]:
    """What an adapter's config calls the model under it: name and commit on the hub, or else where it lies.

    An adapter that lies on another names none: PEFT would put it on the base alone, or in the other's place, without a word.
    """
    repository, snapshots, commit = base.parts[-3:] if len(base.parts) > 2 else ("", "", "")
    if snapshots == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/", 1), commit
    return str(base), None


def _copy_model(written: Path, target: Path, parent: Weights) -> None:
    """Link, not copy: the state's files are never written again, and a model may be many gigabytes."""
    for pattern in ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"):
        for path in written.glob(pattern):
            (target / path.name).hardlink_to(path)
    _copy_tokenizer(target, parent)


def _copy_tokenizer(target: Path, parent: Weights) -> None:
    """The tokenizer as it was, not as the trainer set its padding."""
    for name in tokenizer_files(parent.tokenizer):
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(parent.tokenizer / name, target / name)


class Resumable:
    """Mixin of trainers: saves without the model card that TRL would write at every save, and evaluates on rows that are not learnt."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        Trainer._save_checkpoint(self, model, trial)

    def held_out_loss(self, rows: Dataset) -> float:
        """The mean loss on rows that are not learnt; it leaves training as it was, its random numbers and what it will log.

        Args:
            rows: As tokens, like those of training.
        """
        trainer: Any = self
        logged = {name: copy.deepcopy(getattr(trainer, name)) for name in ("_metrics", "_stored_metrics") if hasattr(trainer, name)}
        learning = trainer.model.training
        total, weight = 0.0, 0.0
        trainer.model.eval()
        with torch.random.fork_rng(), torch.no_grad(), trainer.accelerator.autocast():
            for batch in trainer.get_eval_dataloader(rows):
                inputs = self.as_whole_batch(trainer._prepare_inputs(batch))
                share = float((inputs["labels"] != -100).sum()) if "labels" in inputs else float(len(inputs["input_ids"]))
                total += share * float(trainer.compute_loss(trainer.model_wrapped, inputs))
                weight += share
        trainer.model.train(learning)
        for name, value in logged.items():
            setattr(trainer, name, value)
        return total / weight

    def as_whole_batch(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """What ``compute_loss`` wants of a batch that is all in memory."""
        return inputs


def run_trainer(
    build: Callable[[Keeper], Any],
    folder: RunFolder,
    *,
    model: str,
    seed: int,
    total: int,
    publisher: Publisher | None,
    report: Report,
    held_out: list[dict[str, Any]] | None = None,
) -> Any:
    """Train to the end from the latest state.

    The state is what transformers writes: safetensors for weights, and ``torch.save`` files for optimizer, scheduler and random numbers, which it
    reads with ``weights_only=True``, so that they cannot run code; they are our own, in our own folder, and gone when the run is finished.

    Args:
        build: Makes the trainer with this callback.
        folder: The run's folder.
        model: Which model is trained: a folder under ``_state``.
        seed: Seeds initial adapters and dropout.
        total: Steps of this training.
        publisher: Makes checkpoints; none for a reward model.
        report: Told of every step.
        held_out: Rows, as tokens, whose loss is computed at every checkpoint; None: it is not.

    Returns:
        The trainer, trained.
    """
    step, state = folder.resume_point(model)
    if publisher is not None:
        folder.forget_after(step)
    fresh_start(seed)
    keeper = Keeper(folder, model, report, publisher)
    trainer = build(keeper)
    if held_out is not None:
        rows = Dataset.from_list(held_out)
        keeper.evaluate = lambda: float(trainer.held_out_loss(rows))
    if state is not None and step == total:  # trained to the end already, by a process that was killed later
        trainer._load_from_checkpoint(str(state))
        trainer.state = TrainerState.load_from_json(str(state / "trainer_state.json"))
    else:
        trainer.train(resume_from_checkpoint=str(state) if state else None)
    return trainer


def step_report(progress: Callable[[Progress], None], what: str, total: int, before: int = 0) -> Report:
    """Progress of a training as the parent sees it.

    Args:
        progress: Told of every step.
        what: What is trained, for the bar.
        total: Steps of the whole job.
        before: Steps of the job that came before this training.
    """

    def report(step: int, logs: Mapping[str, float]) -> None:
        loss = logs.get("loss")
        progress(Progress(done=before + step, total=total, note=what if loss is None else f"{what}, loss {loss:.3f}"))

    return report


def fresh_start(seed: int) -> None:
    """Seed all random numbers, and forget the last trainer of this process.

    Accelerate keeps the precision and the loaders of the first trainer for the whole process: PPO's policy would be computed in that of its reward
    model, and a job in float32 after one in bfloat16 would fail.
    """
    AcceleratorState._reset_state()
    GradientState._reset_state()
    set_seed(seed)


def seed_rollouts(seed: int, step: int) -> None:
    """Make what a policy draws at a step a function of the run's seed and the step."""
    set_seed(seed_from("rollouts", seed, step) % 2**32)


def save_state(folder: Path, trained: Mapping[str, Tensor], optimizer: Any, scheduler: Any) -> None:
    """Write what is needed to continue.

    Args:
        folder: An existing folder.
        trained: Trained weights by name.
        optimizer: A torch optimizer over them.
        scheduler: Its learning rate scheduler.
    """
    save_file({name: weight.detach().contiguous() for name, weight in trained.items()}, folder / _WEIGHTS)
    state = optimizer.state_dict()
    moments = {f"{index}.{name}": value for index, values in state["state"].items() for name, value in values.items()}
    save_file({name: value.contiguous() for name, value in moments.items()}, folder / _OPTIMIZER)
    scalars = {"groups": state["param_groups"], "scheduler": scheduler.state_dict()}
    (folder / _SCALARS).write_text(json.dumps(scalars), encoding="utf-8")


def load_state(folder: Path, trained: Mapping[str, Tensor], optimizer: Any, scheduler: Any) -> None:
    """Set weights, optimizer and scheduler back to what ``save_state`` wrote, in place."""
    saved = load_file(folder / _WEIGHTS)
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(saved[name])
    scalars = json.loads((folder / _SCALARS).read_text(encoding="utf-8"))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(folder / _OPTIMIZER).items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": scalars["groups"]})
    scheduler.load_state_dict(scalars["scheduler"])
