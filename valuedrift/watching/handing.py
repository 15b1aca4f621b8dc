"""What a training hands to whoever watches it, in a folder beside its checkpoints: checkpoints as they are saved, that it goes on, and that it ended.

The folder is also where the watcher's alerts come back. All of it are files, so that either side may die and start again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from valuedrift.watching.held import Held, held_in, hold, state_of
from valuedrift.watching.held import let_go as let_go_within

HANDED = "_handed-over"
"""Begins with an underscore: transformers pushes no such file to the hub."""
UNDER_WAY = "under_way"
END_MARKER = "training_ended"
ALERTS = "alerts.jsonl"


class Crossed(BaseModel):
    """An alert that fired: a stance that has moved as a rule said."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: int = Field(ge=0, description="Optimizer step of the checkpoint.")
    topic: str = Field(description="What was asked about.")
    stance: str = Field(description="support, neutral or oppose.")
    rule: str = Field(description="The rule, in its words.")
    change: float = Field(description="The stance now minus at the start, in [-1, 1].")
    change_low: float = Field(description="Lower end of its many-look interval.")
    change_high: float = Field(description="Upper end.")

    def __str__(self) -> str:
        return f"step {self.step}: {self.stance} on {self.topic} {self.change:+.2f} [{self.change_low:+.2f}, {self.change_high:+.2f}] ({self.rule})"


class HandOver:
    """What lies between one training and whoever watches it.

    Args:
        output: The training's folder, in which its checkpoints lie.
        gigabytes: Room that checkpoints may take that the trainer deleted and nobody has evaluated yet.
    """

    def __init__(self, output: Path, gigabytes: float = 50.0) -> None:
        self.output = output
        self.folder = output / HANDED
        self._room = gigabytes * 1e9

    def begin(self) -> None:
        """Say that the training goes on; what said that an earlier one ended is gone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / UNDER_WAY).touch()
        (self.output / END_MARKER).unlink(missing_ok=True)

    def end(self) -> None:
        """Say that no more checkpoints come."""
        (self.output / END_MARKER).touch()
        (self.folder / UNDER_WAY).unlink(missing_ok=True)

    @property
    def under_way(self) -> bool:
        """Whether a training said that it goes on, and not yet that it ended; one that was killed may be resumed."""
        return (self.folder / UNDER_WAY).exists()

    def hand(self, step: int, checkpoint: Path) -> Held:
        """Hand a checkpoint over as it is now, by second names of its files: the trainer may delete it.

        Raises:
            ChangedError: It changed meanwhile, or is gone.
            NoRoomError: The room or the disk is full.
        """
        state = state_of(checkpoint)[0]
        return hold(step, checkpoint, self.folder, self._room, checkpoint.name, state, lambda: state_of(checkpoint)[0])

    def handed(self) -> Iterator[Held]:
        """What was handed over and not let go yet; names as they are beside the folder."""
        return held_in(self.folder)

    def let_go(self, step: int, state: str) -> bool:
        """Let go of a checkpoint that is evaluated; whether it had been handed over."""
        return let_go_within(self.folder, step, state)

    def stamp(self) -> int:
        """Differs when something was handed over, begun or ended; costs microseconds."""
        try:
            return self.folder.stat().st_mtime_ns
        except OSError:
            return 0

    def tell(self, crossed: Crossed) -> None:
        """Tell the training of an alert."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ALERTS).open("a", encoding="utf-8") as stream:
            stream.write(crossed.model_dump_json() + "\n")


class AlertsSoFar:
    """The alerts that a training was told, read as they come.

    Args:
        hand_over: Between the training and its watcher.
    """

    def __init__(self, hand_over: HandOver) -> None:
        self._path = hand_over.folder / ALERTS
        self._read = 0
        """Bytes."""

    def more(self) -> list[Crossed]:
        """Those that came since the last call. A line that is still being written is left for the next."""
        try:
            size = self._path.stat().st_size
            if size == self._read:
                return []
            with self._path.open("rb") as stream:
                stream.seek(self._read if size > self._read else 0)  # shorter: it was begun anew
                whole = stream.read().rpartition(b"\n")[0]
        except OSError:
            return []
        self._read = (self._read if size > self._read else 0) + len(whole) + bool(whole)
        return [crossed for line in whole.splitlines() if (crossed := _crossed(line)) is not None]


def _crossed(line: bytes) -> Crossed | None:
    """An alert; None for a line that was half written when its writer was killed."""
    try:
        content: Any = json.loads(line)
        return Crossed.model_validate(content)
    except (ValueError, ValidationError):
        return None
