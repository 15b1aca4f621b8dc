"""The trainers by type of algorithm: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from valuedrift.progress import Progress
from valuedrift.training import dpo, ppo, sft, simpo
from valuedrift.training.keeper import Publisher
from valuedrift.training.outcome import Outcome
from valuedrift.training.rows import read_demonstrations, read_preferences
from valuedrift.training.setup import Setup


class Train(Protocol):
    """Trains to the end, resuming where a state is."""

    def __call__(self, setup: Setup, rows: Any, publisher: Publisher, progress: Callable[[Progress], None]) -> Outcome:
        """Train; see the modules of each algorithm."""
        ...


@dataclass(frozen=True)
class TrainerKind:
    """How an algorithm reads its data and how it is trained."""

    read: Callable[[Path], list[Any]]
    train: Train


TRAINERS: Mapping[str, TrainerKind] = {
    "sft": TrainerKind(read_demonstrations, sft.train),
    "dpo": TrainerKind(read_preferences, dpo.train),
    "simpo": TrainerKind(read_preferences, simpo.train),
    "ppo": TrainerKind(read_preferences, ppo.train),
}
