"""Dense arrays of prompt means: one cell a (study, judge, run, topic)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.drift.columns import prompt_keys, run_keys
from valuedrift.stance import STANCES
from valuedrift.statistics import Array


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
    known = frame["prompt"].unique().sort()
    codes = frame["prompt"].cast(pl.Enum(known)).to_physical().to_numpy()
    all_steps = frame["step"].to_numpy()
    numbers = frame.select(STANCES).to_numpy()
    bounds = frame.select(keys).with_row_index("__first__").unique(keys, keep="first", maintain_order=True)
    first = bounds["__first__"].to_list()
    for row, start, end in zip(bounds.drop("__first__").iter_rows(named=True), first, [*first[1:], len(frame)], strict=True):
        steps, step_code = np.unique(all_steps[start:end], return_inverse=True)
        prompts, code = np.unique(codes[start:end], return_inverse=True)
        values = np.full((len(prompts), len(steps), len(STANCES)), np.nan)
        values[code, step_code] = numbers[start:end]
        yield Cell(row, steps, tuple(known.gather(prompts).to_list()), values)
