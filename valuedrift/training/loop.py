"""The run of a TRL trainer: where it starts, and what it resumes from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, GradientState
from transformers import Trainer, TrainerState, TrainingArguments, set_seed
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from valuedrift.fingerprint import seed_from
from valuedrift.progress import Progress
from valuedrift.training.folder import RunFolder
from valuedrift.training.keeper import Keeper, Report
from valuedrift.training.processes import agreed, count, means, rank
from valuedrift.training.processes import total as over_all
from valuedrift.training.publishing import Publisher
from valuedrift.training.sharding import is_sharded, shard, share_of_moments, whole, whole_moments, whole_weights


class Resumable:
    """Mixin of trainers: saves without the model card that TRL would write at every save, and evaluates on rows that are not learnt."""

    def __init__(self, *, args: TrainingArguments, **given: Any) -> None:
        if args.device.type == "cuda":
            args._n_gpu = 1  # transformers would spread a batch, as many times as large, over all GPUs that one process sees
        super().__init__(args=args, **given)  # type: ignore[call-arg] # the trainer's

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log means over all processes: TRL's trainers keep those of the process's own share."""
        for kept in (getattr(self, name, {}) for name in ("_metrics", "_stored_metrics")):
            shared = means({name: sum(values) / len(values) for name, values in kept.get("train", {}).items()}) if count() > 1 else {}
            for name, value in shared.items():
                kept["train"][name] = [value]
        super().log(logs, *args, **kwargs)  # type: ignore[misc] # the trainer's

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        Trainer._save_checkpoint(self, model, trial)

    def shard(self, device: str) -> None:
        """Leave this process its share of the model, and of the reference; before an optimizer is made.

        Args:
            device: ``cpu`` or ``cuda``.
        """
        trainer: Any = self
        shard(trainer.model, device)
        # accelerate would wrap it for data parallelism besides
        trainer.accelerator.prepare_model(trainer.model, evaluation_mode=True)._is_accelerate_prepared = True
        if getattr(trainer, "ref_model", None) is not None:
            shard(trainer.ref_model, device)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the weights, put together where each process holds a share."""
        trainer: Any = self
        if not is_sharded(trainer.model):
            Trainer.save_model(trainer, output_dir, _internal_call)
            return
        weights = whole_weights(trainer.model)
        if trainer.args.should_save:
            trainer._save(output_dir, state_dict=weights)

    def _load_from_checkpoint(self, folder: str, model: Any = None) -> None:
        trainer: Any = self
        if not is_sharded(trainer.model):  # else it was loaded before it was sharded
            Trainer._load_from_checkpoint(trainer, folder, model)

    def _save_optimizer_and_scheduler(self, folder: str) -> None:
        trainer: Any = self
        if not is_sharded(trainer.model):
            Trainer._save_optimizer_and_scheduler(trainer, folder)
            return
        moments = whole_moments(trainer.optimizer)
        if trainer.args.should_save:
            torch.save(moments, Path(folder) / OPTIMIZER_NAME)
            torch.save(trainer.lr_scheduler.state_dict(), Path(folder) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, folder: str | None) -> None:
        trainer: Any = self
        if folder is None or not is_sharded(trainer.model):
            Trainer._load_optimizer_and_scheduler(trainer, folder)
            return
        moments = torch.load(Path(folder) / OPTIMIZER_NAME, map_location="cpu", weights_only=True)
        trainer.optimizer.load_state_dict(share_of_moments(moments, trainer.optimizer))
        trainer.lr_scheduler.load_state_dict(torch.load(Path(folder) / SCHEDULER_NAME, weights_only=True))

    def _clip_grad_norm(self, model: Any) -> Any:
        return whole(Trainer._clip_grad_norm(self, model))

    def held_out_loss(self, rows: Sequence[dict[str, Any]], batch_size: int) -> float:
        """The mean loss on rows that are not learnt; it leaves training as it was, its random numbers and what it will log.

        Each process takes its share of the batches; a sharded model is computed together, so there all take all.

        Args:
            rows: As tokens, like those of training.
            batch_size: Rows of a batch.
        """
        trainer: Any = self
        logged = {name: copy.deepcopy(getattr(trainer, name)) for name in ("_metrics", "_stored_metrics") if hasattr(trainer, name)}
        learning = trainer.model.training
        micro = trainer.args.per_device_eval_batch_size
        loss, weight = 0.0, 0.0
        turn, turns = (0, 1) if is_sharded(trainer.model) else (rank(), count())
        trainer.model.eval()
        with torch.random.fork_rng(), torch.no_grad(), trainer.accelerator.autocast():
            for start in range(batch_size * turn, len(rows), batch_size * turns):
                batch = rows[start : start + batch_size]
                parts = [trainer.data_collator(list(batch[at : at + micro])) for at in range(0, len(batch), micro)]
                for inputs in self.parts_of([trainer._prepare_inputs(part) for part in parts]):
                    share = float((inputs["labels"] != -100).sum()) if "labels" in inputs else float(len(inputs["input_ids"]))
                    loss += share * float(trainer.compute_loss(trainer.model, inputs))
                    weight += share
        trainer.model.train(learning)
        for name, value in logged.items():
            setattr(trainer, name, value)
        if turns > 1:
            loss, weight = over_all((loss, weight))
        return loss / weight

    def parts_of(self, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The parts of a batch as ``compute_loss`` wants them."""
        return parts


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
    batch_size: int = 1,
    sharded_on: str | None = None,
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
        batch_size: Of those rows a batch.
        sharded_on: The device on which each process holds a share of the model; None: each holds all of it.

    Returns:
        The trainer, trained.
    """
    step, state = agreed(lambda: resume_point(folder, model, publisher is not None))
    fresh_start(seed)
    keeper = Keeper(folder, model, report, publisher)
    trainer = build(keeper)
    if held_out is not None:
        keeper.evaluate = lambda: float(trainer.held_out_loss(held_out, batch_size))
    if state is not None and step == total:  # trained to the end already, by a process that was killed later
        trainer._load_from_checkpoint(str(state))
        trainer.state = TrainerState.load_from_json(str(state / "trainer_state.json"))
    else:
        if sharded_on is not None:
            if state is not None:
                trainer._load_from_checkpoint(str(state))
            trainer.shard(sharded_on)
        trainer.train(resume_from_checkpoint=str(state) if state else None)
    return trainer


def resume_point(folder: RunFolder, model: str, published: bool) -> tuple[int, Path | None]:
    """The step and state to go on from, what is later being gone.

    Args:
        folder: The run's folder.
        model: Which model is trained.
        published: Whether its checkpoints and rows are the run's.
    """
    step, state = folder.resume_point(model)
    if published:
        folder.forget_after(step)
    return step, state


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
    """Make what a policy draws at a step a function of the run's seed and the step, and of the process if several draw."""
    set_seed(seed_from("rollouts", seed, step, *([rank()] if rank() else [])) % 2**32)
