"""The trainers by type of algorithm: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from valuedrift.progress import Progress
from valuedrift.training import dpo, ppo, sft, simpo
from valuedrift.training.encode import Tokens
from valuedrift.training.job import TrainJob
from valuedrift.training.keeper import Publisher
from valuedrift.training.pairs import encode_pairs
from valuedrift.training.rows import read_demonstrations, read_preferences
from valuedrift.training.setup import Setup


class Train(Protocol):
    """Trains to the end, resuming where a state is."""

    def __call__(self, setup: Setup, tokens: Tokens, publisher: Publisher, progress: Callable[[Progress], None]) -> float | None:
        """Train; only PPO has something to return, the accuracy of its reward model."""
        ...


@dataclass(frozen=True)
class TrainerKind:
    """How an algorithm reads its data and how it is trained."""

    read: Callable[[Path], list[Any]]
    encode: Callable[[TrainJob, Any, list[Any]], Tokens]
    train: Train


TRAINERS: Mapping[str, TrainerKind] = {
    "sft": TrainerKind(read_demonstrations, sft.encode, sft.train),
    "dpo": TrainerKind(read_preferences, encode_pairs, dpo.train),
    "simpo": TrainerKind(read_preferences, encode_pairs, simpo.train),
    "ppo": TrainerKind(read_preferences, ppo.encode, ppo.train),
}
