"""Dense arrays of prompt means: one cell a (study, judge, run, topic)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.drift.columns import prompt_keys, run_keys
from valuedrift.stance import STANCES

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cell:
    """The prompts of one topic over the checkpoints of one run, under one judge.

    Attributes:
        keys: Values of study, judge (where given), run_id and topic.
        steps: Checkpoint steps, rising. Shape (T,).
        prompts: Prompt identifiers, sorted. Length P.
        values: Prompt means in [0, 1], NaN where a prompt has no judged sample. Shape (P, T, 3), stances in the order of ``STANCES``.
    """

    keys: dict[str, str]
    steps: NDArray[np.int64]
    prompts: tuple[str, ...]
    values: Array

    @property
    def draws_key(self) -> tuple[str, str]:
        """Runs of one study with the same prompts of a topic share their draws."""
        return self.keys.get("study", ""), self.keys["topic"]

    def at(self, step: int) -> Array | None:
        """Prompt means at a step, shape (P, 3); None if the run has no such checkpoint."""
        found = np.flatnonzero(self.steps == step)
        return self.values[:, found[0]] if len(found) else None

    def between(self, first: int, last: int) -> Cell:
        """The same cell with only the checkpoints from first to last, both included."""
        kept = (self.steps >= first) & (self.steps <= last)
        return Cell(self.keys, self.steps[kept], self.prompts, self.values[:, kept])


def cells(means: pl.DataFrame) -> Iterator[Cell]:
    """Cut prompt means into cells.

    Args:
        means: As `valuedrift.drift.prompt_means.prompt_means` returns them, sorted.

    Yields:
        Cells in the order of study, judge, run_id, topic.
    """
    keys = [*run_keys(means.schema), "topic"]
    names = prompt_keys(means.schema)
    prompt = pl.concat_str(names, separator="\x1f") if len(names) > 1 else pl.col(names[0])
    frame = means.select(*keys, "step", prompt.alias("prompt"), *STANCES)
    for part in frame.partition_by(keys, maintain_order=True):
        steps, step_code = np.unique(part["step"].to_numpy(), return_inverse=True)
        ids = part["prompt"].unique().sort()
        code = part["prompt"].cast(pl.Enum(ids)).to_physical().to_numpy()
        values = np.full((len(ids), len(steps), len(STANCES)), np.nan)
        values[code, step_code] = part.select(STANCES).to_numpy()
        yield Cell(dict(zip(keys, part.select(keys).row(0), strict=True)), steps, tuple(ids.to_list()), values)
