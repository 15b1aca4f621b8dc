"""Processes that train one model together, as torchrun starts them: which of them this is, and how they agree.

All of them hold the model, take their share of every batch and average their gradients. The first alone decides, and alone writes the run's folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from torch import distributed

from valuedrift.errors import UserError

_T = TypeVar("_T")
_PATIENCE = timedelta(days=2)
"""How long one waits for another, while the first writes a large checkpoint, say; a training that hangs has a time limit of its own."""


def join(asked: int, device: str) -> None:
    """Meet the other processes; each takes a GPU of its own where there are any.

    Args:
        asked: How many are to train together.
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: More or fewer were started, or there are too few GPUs for them.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != asked:
        raise UserError(
            f"{asked} processes are to train together, and {started} were started",
            where="runtime.processes",
            fix="leave runtime.launcher empty, or make it start as many (accelerate launch --cpu starts one, whatever it is told)",
        )
    if asked == 1:
        return
    if device == "cuda":
        here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", asked)), torch.cuda.device_count()
        if here > gpus:
            raise UserError(
                f"{here} processes want a GPU each, and torch sees {gpus}",
                where="runtime.processes",
                fix=f"processes: {gpus}, or device: cpu",
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    PartialState(cpu=device == "cpu", timeout=_PATIENCE)


def count() -> int:
    """How many train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def agreed(decide: Callable[[], _T]) -> _T:
    """What the first process finds or does; the others wait for it, so that all have the same."""
    if count() == 1:
        return decide()
    told: list[_T | None] = [decide() if rank() == 0 else None]
    distributed.broadcast_object_list(told, src=0)
    return told[0]  # type: ignore[return-value] # None only where decide gave it


def everyones(own: _T) -> list[_T]:
    """What each process has, in their order."""
    if count() == 1:
        return [own]
    all_of_them: list[_T | None] = [None] * count()
    distributed.all_gather_object(all_of_them, own)
    return all_of_them  # type: ignore[return-value] # each is filled


def wait() -> None:
    """Wait until all have come here."""
    if count() > 1:
        distributed.barrier()


def total(values: Iterable[float]) -> list[float]:
    """The sums of numbers over all processes."""
    return [sum(column) for column in zip(*everyones(list(values)), strict=True)]


def means(own: Mapping[str, float]) -> dict[str, float]:
    """The mean of each number over the processes that have it."""
    found: dict[str, list[float]] = {}
    for numbers in everyones(dict(own)):
        for name, value in numbers.items():
            found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}
