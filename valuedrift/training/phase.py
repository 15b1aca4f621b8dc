"""A training phase from beginning to end: check, resume or start, train, gather the checkpoints."""

from __future__ import annotations

from collections.abc import Callable

import torch
from datasets import disable_progress_bars
from transformers.utils import logging as transformers_logging

from valuedrift.errors import UserError
from valuedrift.models.loading import load_tokenizer
from valuedrift.progress import Progress
from valuedrift.training.folder import RunFolder
from valuedrift.training.job import TrainJob
from valuedrift.training.keeper import Publisher
from valuedrift.training.result import Checkpoint, TrainResult
from valuedrift.training.setup import Setup, choose_device
from valuedrift.training.trainers import TRAINERS
from valuedrift.weights import Weights, check_model_folder

_NO_ROOM = ("No space left", "Disk quota exceeded", "File too large")
"""How the operating system and, through it, safetensors and torch say that nothing more can be written."""


def train(job: TrainJob, progress: Callable[[Progress], None]) -> TrainResult:
    """Run a job; see ``TrainJob.run``."""
    try:
        return _train(job, progress)
    except Exception as error:
        if any(words in str(error) for words in _NO_ROOM):
            raise UserError("the disk is full", where=str(job.out), fix="make room and run again: training goes on where it was") from error
        raise


def _train(job: TrainJob, progress: Callable[[Progress], None]) -> TrainResult:
    check_model_folder(job.weights.base)
    device, bf16 = choose_device(job)
    trainer = TRAINERS[job.algorithm.type]
    rows = trainer.read(job.dataset)
    tokenizer = load_tokenizer(job.weights.base)
    tokens = trainer.encode(job, tokenizer, rows)
    folder = RunFolder(job.out, job.identity())  # made only now: a job with bad input leaves no folder behind
    if (done := folder.result()) is not None:
        folder.clear_state()
        return done
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    total = job.algorithm.total_steps(len(rows))
    setup = Setup(job=job, folder=folder, rows=len(rows), total=total, device=device, bf16=bf16, tokenizer=tokenizer)
    steps = job.schedule.steps(total)
    accuracy = trainer.train(setup, tokens, Publisher(folder, job.weights, frozenset(steps), total), progress)
    result = TrainResult(
        checkpoints=_checkpoints(job, folder, steps),
        metrics=tuple(folder.metrics()),
        total_steps=total,
        rows=len(rows),
        dropped_rows=tokens.dropped,
        cut_rows=tokens.cut,
        reward_accuracy=accuracy,
    )
    folder.finish(result)
    return result


def _checkpoints(job: TrainJob, folder: RunFolder, steps: tuple[int, ...]) -> tuple[Checkpoint, ...]:
    """The parent as step 0, then what was published."""
    adapter = job.algorithm.lora is not None
    losses = {row.step: row.loss for row in folder.metrics()}
    stacks = {0: job.weights}
    for step in steps[1:]:
        path = folder.checkpoint_path(step)
        stacks[step] = job.weights.plus(path) if adapter else Weights(base=path)
    return tuple(
        Checkpoint(step=step, weights=stack, adapter=bool(stack.adapters), fingerprint=stack.fingerprint(), train_loss=losses.get(step))
        for step, stack in stacks.items()
    )
