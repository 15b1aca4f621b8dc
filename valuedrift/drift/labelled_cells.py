"""What is labelled of each cell, and of the whole study: from labelled rows to the estimators of `valuedrift.drift.powered`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.drift.cells import Cell
from valuedrift.drift.columns import prompt_keys
from valuedrift.drift.options import Analysis, Towards
from valuedrift.drift.powered import (
    MIRRORED,
    Corrected,
    Labels,
    by_cell,
    by_study,
    enough,
    enough_at,
    mean_by_cell,
    mean_by_study,
    pooled_error,
)
from valuedrift.labels.settle import ANSWER, SAID
from valuedrift.stance import STANCE_COLUMNS
from valuedrift.statistics import Array
from valuedrift.statistics.intervals import Interval, mean_interval

_PLACE = ("run_id", "step", "topic", "probe_set", "prompt_id")


class PooledLabels:
    """All labels of one judge, for cells without enough of their own.

    Args:
        means: Prompt means of the judge.
        usable: Its labelled answers.
    """

    def __init__(self, means: pl.DataFrame, usable: pl.DataFrame) -> None:
        self._number = {name: place for place, name in enumerate(sorted({*_names(means), *_names(usable)}))}
        identity = [name for name in (ANSWER if "response" in usable.columns else (*_PLACE, "sample_idx")) if name in usable.columns]
        once = usable.unique(identity, keep="first", maintain_order=True)
        self.labels = self.labels_of(once)
        self.fault = pooled_error(self.labels) if usable.height else "nothing is labelled"
        self._against = set(_names(means.filter(pl.col("polarity") == -1))) if "polarity" in means.columns else set()

    @property
    def size(self) -> int:
        """How many prompts have a number."""
        return len(self._number)

    def numbers(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Numbers of prompts, as in ``labels``."""
        return np.array([self._number[name] for name in names], dtype=np.int64)

    def against(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Which prompts are worded against their proposition."""
        return np.array([name in self._against for name in names], dtype=bool)

    def labels_of(self, frame: pl.DataFrame) -> Labels:
        """Labelled answers as arrays, all of the first checkpoint."""
        return Labels(
            said=frame.select(SAID).to_numpy(),
            judged=frame.select(STANCE_COLUMNS).to_numpy(),
            weight=frame["weight"].to_numpy(),
            prompt=self.numbers(list(_names(frame))),
            last=np.zeros(frame.height, dtype=bool),
        )


class CellLabels:
    """One cell with what is labelled of it.

    Args:
        cell: Its prompt means, as judged.
        own: Its labelled answers, if there are any.
        pooled: All labels of the judge.
        options: Confidence; what the stance is taken on.
    """

    def __init__(self, cell: Cell, own: pl.DataFrame | None, pooled: PooledLabels, options: Analysis) -> None:
        self.cell = cell
        self.pooled = pooled
        self.confidence = options.confidence
        self.numbers = pooled.numbers(cell.prompts)
        towards = options.towards is Towards.PROPOSITION
        self.against = pooled.against(cell.prompts) if towards else np.zeros(len(cell.prompts), dtype=bool)
        self.own = pooled.labels_of(own) if own is not None else None
        self.steps = own["step"].to_numpy() if own is not None else np.zeros(0, dtype=np.int64)

    def drift(self, first: int, last: int) -> tuple[Corrected, Interval, int] | None:
        """The drift between two checkpoints, corrected and as judged, and its prompts; None where labels or prompts are too few."""
        before, after = self.cell.at(first), self.cell.at(last)
        assert before is not None and after is not None
        kept = np.asarray(~np.isnan(after - before).any(axis=1))
        if kept.sum() < 2:
            return None
        before, after, against = before[kept], after[kept], self.against[kept]
        plain = mean_interval(_mirrored(after - before, against), self.confidence, bounds=(-1.0, 1.0))
        labels = self._labels_at((first, last), kept, last)
        if labels is not None and enough(labels):
            return by_cell(_mirrored(before, against), _mirrored(after, against), labels, self.confidence), plain, len(before)
        if self.pooled.fault is not None:
            return None
        return by_study(before, after, self.numbers[kept], self.pooled.labels, self.confidence, against=against), plain, len(before)

    def mean(self, at: int) -> tuple[Corrected, Interval, int] | None:
        """The mean of a checkpoint, likewise."""
        kept = np.asarray(~np.isnan(self.cell.values[:, at]).any(axis=1))
        if kept.sum() < 2:
            return None
        values, against, step = self.cell.values[kept, at], self.against[kept], int(self.cell.steps[at])
        plain = mean_interval(_mirrored(values, against), self.confidence, bounds=(0.0, 1.0))
        labels = self._labels_at((step,), kept, step)
        if labels is not None and enough_at(labels):
            return mean_by_cell(_mirrored(values, against), labels, self.confidence), plain, len(values)
        if self.pooled.fault is not None:
            return None
        return mean_by_study(values, self.numbers[kept], self.pooled.labels, self.confidence, against=against), plain, len(values)

    def _labels_at(self, steps: tuple[int, ...], kept: NDArray[np.bool_], last: int) -> Labels | None:
        """The cell's own labels at some checkpoints, of prompts that are kept; prompts are numbered as those are, stances turned as the cell's."""
        own, place = self.own, np.full(self.pooled.size, -1)
        if own is None:
            return None
        place[self.numbers[kept]] = np.arange(kept.sum())
        rows = np.isin(self.steps, steps) & (place[own.prompt] >= 0)
        prompt = place[own.prompt[rows]]
        turned = self.against[kept][prompt]
        said, judged = _mirrored(own.said[rows], turned), _mirrored(own.judged[rows], turned)
        return Labels(said, judged, own.weight[rows], prompt, self.steps[rows] == last)


def own_labels(means: pl.DataFrame, usable: pl.DataFrame) -> dict[tuple[object, ...], pl.DataFrame]:
    """Labelled answers of each (run, topic) where the draw could have taken them; weights count prompts, each of them once."""
    drawn = usable.filter("drawn") if "drawn" in usable.columns else usable
    place = [name for name in _PLACE if name in means.columns]
    counted = drawn.join(means.select(*place, "n_ok"), on=place)
    return counted.with_columns(weight=pl.col("weight") / pl.col("n_ok")).partition_by("run_id", "topic", as_dict=True)


def _mirrored(values: Array, rows: NDArray[np.bool_]) -> Array:
    """Support and oppose change places in some rows. Shape (rows, 3)."""
    return np.where(rows[:, None], values[:, MIRRORED], values)


def _names(frame: pl.DataFrame) -> Iterator[str]:
    """Prompts as cells name them."""
    return ("\x1f".join(row) for row in frame.select(prompt_keys(frame.schema)).iter_rows())
