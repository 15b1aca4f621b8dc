"""The drift and trajectory tables once more, with the judge's errors in their estimates and intervals, where labels allow it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from valuedrift.drift.cells import Cell, cells
from valuedrift.drift.check import check_stances
from valuedrift.drift.labelled_cells import CellLabels, PooledLabels, own_labels
from valuedrift.drift.options import Analysis
from valuedrift.drift.orient import oriented
from valuedrift.drift.powered import Corrected
from valuedrift.drift.prompt_means import prompt_means
from valuedrift.drift.tables import with_q
from valuedrift.labels.settle import SAID
from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.statistics.intervals import Interval
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
        DataError: See `valuedrift.drift.check.check_stances`; or a prompt without polarity, where stance is taken on the proposition.
    """
    check_stances(stances.lazy(), where=where)
    means = prompt_means(stances.lazy(), where=where)
    oriented(means, options.towards, where=where)  # refuses prompts without a polarity where that is needed
    keys = [name for name in _FAMILY if name in means.columns]
    usable = labelled.filter((pl.col("status") == JudgeStatus.OK.value) & pl.col(SAID[0]).is_not_null())
    found = _Found(options, (from_step, to_step))
    for part in means.partition_by(keys, maintain_order=True) if keys else [means]:
        found.add(part, usable.filter(pl.all_horizontal(pl.lit(True), *(pl.col(name) == part[name][0] for name in keys))))
    notes = [f"{count} (run, topic) cells are not corrected: {fault}" for fault, count in found.lacking.items()]
    types: _Schema = dict.fromkeys(keys, pl.String)
    drift = pl.DataFrame(found.drift, schema={**types, **_DRIFT}, orient="row")
    drift = with_q(with_q(drift, [*keys, "run_id"], "q_value"), keys, "q_value_study")
    return Correction(drift, pl.DataFrame(found.trajectory, schema={**types, **_TRAJECTORY}, orient="row"), notes)


@dataclass(slots=True)
class _Found:
    """Rows of both tables, gathered judge by judge, and why cells have none."""

    options: Analysis
    ends: tuple[int | None, int | None]
    drift: list[tuple[object, ...]] = field(default_factory=list)
    trajectory: list[tuple[object, ...]] = field(default_factory=list)
    lacking: dict[str, int] = field(default_factory=dict)

    def add(self, means: pl.DataFrame, usable: pl.DataFrame) -> None:
        """All cells of one judge."""
        pooled = PooledLabels(means, usable)
        own = own_labels(means, usable)
        for cell in cells(means):
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
