"""The drift and trajectory tables once more, with the judge's errors in their estimates and intervals, where labels allow it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

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
from valuedrift.drift.prompt_means import Cell, cells, oriented, prompt_means
from valuedrift.drift.stance_frame import check_stances, prompt_keys
from valuedrift.drift.tables import with_q
from valuedrift.labels.people import ANSWER, SAID
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus
from valuedrift.statistics import Array
from valuedrift.statistics.intervals import Interval, mean_interval
from valuedrift.statistics.rounding import rounding_of
from valuedrift.statistics.significance import paired_p_values

_Schema = dict[str, pl.DataType | type[pl.DataType]]
_FAMILY = ("study", "judge")
_HOW: _Schema = {"level": pl.String, "tuning": pl.Float64, "n_labels": pl.Int32, "n_prompts": pl.Int32}
_SPREAD = ("", "_low", "_high")
_DRIFT: _Schema = {
    **dict.fromkeys(("run_id", "topic", "stance"), pl.String),
    **dict.fromkeys(("from_step", "to_step"), pl.Int64),
    **{f"{kind}magnitude{end}": pl.Float64 for kind in ("", "uncorrected_") for end in _SPREAD},
    "p_value": pl.Float64,
    **_HOW,
}
_TRAJECTORY: _Schema = {
    "run_id": pl.String,
    "step": pl.Int64,
    **dict.fromkeys(("topic", "stance"), pl.String),
    **{f"{kind}{name}": pl.Float64 for kind in ("", "uncorrected_") for name in ("mean", "low", "high")},
    **_HOW,
}


@dataclass(frozen=True, slots=True)
class Correction:
    """What labels make of a study's numbers. ``study`` and ``judge`` are columns where the stances had them.

    Attributes:
        drift: run_id, topic, stance, from_step, to_step; magnitude with ``_low`` and ``_high``, corrected, and ``uncorrected_magnitude`` with both, as judged;
            p_value, q_value and q_value_study of the corrected one, over the corrected ones; ``level``: cell (own labels, no assumption but the draw) or study
            (labels of the whole study by stance: the judge errs alike on answers of one stance before and after); ``tuning``: λ at the level cell; n_labels
            that it rests on, n_prompts.
        trajectory: run_id, step, topic, stance; mean, low and high, corrected, and ``uncorrected_*``, as judged; level, tuning, n_labels, n_prompts.
        notes: What is not corrected, and why.
    """

    drift: pl.DataFrame
    trajectory: pl.DataFrame
    notes: list[str]


def corrected(
    stances: pl.DataFrame | pl.LazyFrame,
    labelled: pl.DataFrame,
    options: Analysis,
    *,
    from_step: int | None = None,
    to_step: int | None = None,
    where: str | None = None,
) -> Correction:
    """Drift magnitudes and mean stances, corrected by labels; each judge by what it says of the labelled answers.

    Args:
        stances: As `valuedrift.drift.analyze.analyze` takes them.
        labelled: Labelled answers at every place where they stand, with the judges' stances of them: those columns of ``stances`` that tell rows apart,
            p_*, status, said_*, weight; ``response`` where equal answers to a prompt share their label; ``drawn``: whether the draw could have taken the answer
            at this place (elsewhere it only tells how the judge errs), by default it could everywhere.
        options: Confidence of the intervals; what the stance is taken on.
        from_step: Where the phase starts; each run's first checkpoint by default.
        to_step: Where it ends; each run's last checkpoint by default.
        where: For messages.

    Raises:
        DataError: See `valuedrift.drift.stance_frame.check_stances`; or a prompt without polarity, where stance is taken on the proposition.
    """
    check_stances(stances.lazy(), where=where)
    means = prompt_means(stances.lazy(), where=where)
    oriented(means, options.towards, where=where)  # refuses prompts without a polarity where that is needed
    keys = [name for name in _FAMILY if name in means.columns]
    usable = labelled.filter((pl.col("status") == JudgeStatus.OK.value) & pl.col(SAID[0]).is_not_null())
    rows = _Rows(options, (from_step, to_step), rounding_of(stances.lazy(), STANCE_COLUMNS))
    for part in means.partition_by(keys, maintain_order=True) if keys else [means]:
        rows.add(part, usable.filter(pl.all_horizontal(pl.lit(True), *(pl.col(name) == part[name][0] for name in keys))))
    notes = [f"{count} (run, topic) cells are not corrected: {fault}" for fault, count in rows.lacking.items()]
    types: _Schema = dict.fromkeys(keys, pl.String)
    drift = pl.DataFrame(rows.drift, schema={**types, **_DRIFT}, orient="row")
    drift = with_q(with_q(drift, [*keys, "run_id"], "q_value"), keys, "q_value_study")
    return Correction(drift, pl.DataFrame(rows.trajectory, schema={**types, **_TRAJECTORY}, orient="row"), notes)


@dataclass(slots=True)
class _Rows:
    """Rows of both tables, gathered judge by judge, and why cells have none."""

    options: Analysis
    ends: tuple[int | None, int | None]
    rounding: float
    drift: list[tuple[object, ...]] = field(default_factory=list)
    trajectory: list[tuple[object, ...]] = field(default_factory=list)
    lacking: dict[str, int] = field(default_factory=dict)

    def add(self, means: pl.DataFrame, usable: pl.DataFrame) -> None:
        """All cells of one judge."""
        pooled = PooledLabels(means, usable)
        own = own_labels(means, usable)
        for cell in cells(means, self.rounding):
            mine = own.get((cell.keys["run_id"], cell.keys["topic"]))
            one = CellLabels(cell, mine, pooled, self.options)
            for at, step in enumerate(cell.steps):
                mean = one.mean(at)
                if mean is not None:
                    self._rows(self.trajectory, cell, (int(step),), *mean)
            first = int(cell.steps[0]) if self.ends[0] is None else self.ends[0]
            last = int(cell.steps[-1]) if self.ends[1] is None else self.ends[1]
            if first >= last or first not in cell.steps or last not in cell.steps:
                continue
            drift = one.drift(first, last)
            if drift is not None:
                self._rows(self.drift, cell, (first, last), *drift)
            elif pooled.fault is not None:
                self.lacking[pooled.fault] = self.lacking.get(pooled.fault, 0) + 1

    def _rows(
        self, rows: list[tuple[object, ...]], cell: Cell, steps: tuple[int, ...], found: Corrected, plain: Interval, prompts: int
    ) -> None:
        family = [cell.keys[name] for name in _FAMILY if name in cell.keys]
        run, topic = cell.keys["run_id"], cell.keys["topic"]
        drift = len(steps) > 1
        p_values = paired_p_values(found.interval) if drift else None
        tuning = None if np.isnan(found.tuning) else found.tuning
        for s, stance in enumerate(STANCES):
            numbers = [float(values[s]) for ci in (found.interval, plain) for values in (ci.estimate, ci.low, ci.high)]
            place = (run, topic, stance.value, *steps) if drift else (run, *steps, topic, stance.value)
            test = () if p_values is None else (float(p_values[s]),)
            rows.append((*family, *place, *numbers, *test, found.level, tuning, found.n_labels, prompts))


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
        rounding = self.cell.rounding
        kept = np.asarray(~np.isnan(after - before).any(axis=1))
        if kept.sum() < 2:
            return None
        before, after, against = before[kept], after[kept], self.against[kept]
        plain = mean_interval(_mirrored(after - before, against), self.confidence, bounds=(-1.0, 1.0), rounding=rounding)
        labels = self._labels_at((first, last), kept, last)
        if labels is not None and enough(labels):
            return (
                by_cell(_mirrored(before, against), _mirrored(after, against), labels, self.confidence, rounding=rounding),
                plain,
                len(before),
            )
        if self.pooled.fault is not None:
            return None
        return (
            by_study(before, after, self.numbers[kept], self.pooled.labels, self.confidence, against=against, rounding=rounding),
            plain,
            len(before),
        )

    def mean(self, at: int) -> tuple[Corrected, Interval, int] | None:
        """The mean of a checkpoint, likewise."""
        rounding = self.cell.rounding
        kept = np.asarray(~np.isnan(self.cell.values[:, at]).any(axis=1))
        if kept.sum() < 2:
            return None
        values, against, step = self.cell.values[kept, at], self.against[kept], int(self.cell.steps[at])
        plain = mean_interval(_mirrored(values, against), self.confidence, bounds=(0.0, 1.0), rounding=rounding)
        labels = self._labels_at((step,), kept, step)
        if labels is not None and enough_at(labels):
            return mean_by_cell(_mirrored(values, against), labels, self.confidence, rounding=rounding), plain, len(values)
        if self.pooled.fault is not None:
            return None
        return (
            mean_by_study(values, self.numbers[kept], self.pooled.labels, self.confidence, against=against, rounding=rounding),
            plain,
            len(values),
        )

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
