"""What a task returns: where its output lies and how much it is, never the data themselves."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from valuedrift.storage.manifest import Entry
from valuedrift.training.job import Checkpoint


class Reference(BaseModel):
    """A table part in the store."""

    model_config = ConfigDict(frozen=True)

    table: str
    uri: str
    rows: int
    key: str
    reused: bool
    """Whether it was there before this task ran, under this run or another one."""

    @classmethod
    def to(cls, entry: Entry, *, reused: bool) -> Reference:
        """The reference to a manifest entry."""
        return cls(table=entry.table, uri=entry.path, rows=entry.rows, key=entry.key, reused=reused)


class Trained(BaseModel):
    """A finished training phase: its checkpoints by step."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    key: str
    checkpoints: tuple[Checkpoint, ...]
    reused: bool

    def at(self, step: int) -> Checkpoint:
        """The checkpoint of a step."""
        return next(checkpoint for checkpoint in self.checkpoints if checkpoint.step == step)

    @property
    def last(self) -> Checkpoint:
        """The checkpoint that the phase ends with."""
        return self.checkpoints[-1]
