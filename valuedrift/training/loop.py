"""Running a TRL trainer that is a transformers ``Trainer``: resume, train, keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerState

from valuedrift.progress import Progress
from valuedrift.training.folder import RunFolder
from valuedrift.training.keeper import Keeper, Publisher, Report
from valuedrift.training.setup import fresh_start

POLICY = "policy"


def run_trainer(
    build: Callable[[Keeper], Any],
    folder: RunFolder,
    *,
    phase: str,
    seed: int,
    total: int,
    publisher: Publisher | None,
    report: Report,
) -> Any:
    """Train to the end from the latest state.

    The state is what transformers writes: safetensors for weights, and ``torch.save`` files for optimizer, scheduler and random numbers, which it
    reads with ``weights_only=True``, so that they cannot run code; they are our own, in our own folder, and gone when the run is finished.

    Args:
        build: Makes the trainer with this callback.
        folder: The run's folder.
        phase: Folder under ``_state``.
        seed: Seeds initial adapters and dropout.
        total: Steps of this training.
        publisher: Makes checkpoints; none for a reward model.
        report: Told of every step.

    Returns:
        The trainer, trained.
    """
    step, state = folder.resume_point(phase)
    if publisher is not None:
        folder.forget_after(step)
    fresh_start(seed)
    trainer = build(Keeper(folder, phase, report, publisher))
    if state is not None and step == total:  # trained to the end already, by a process that was killed later
        trainer._load_from_checkpoint(str(state))
        trainer.state = TrainerState.load_from_json(str(state / "trainer_state.json"))
    else:
        trainer.train(resume_from_checkpoint=str(state) if state else None)
    return trainer


def step_report(progress: Callable[[Progress], None], phase: str, total: int, before: int = 0) -> Report:
    """Progress of a training as the parent sees it.

    Args:
        progress: Told of every step.
        phase: What is trained, for the bar.
        total: Steps of the whole job.
        before: Steps of the job that came before this training.
    """

    def report(step: int, logs: Mapping[str, float]) -> None:
        loss = logs.get("loss")
        progress(Progress(done=before + step, total=total, note=phase if loss is None else f"{phase}, loss {loss:.3f}"))

    return report
