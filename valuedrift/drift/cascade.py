"""The trajectory and drift of a cascade: every answer read by a cheap judge, a sample of them by a strong one, and the numbers those of the strong one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.drift.options import Analysis
from valuedrift.drift.prompt_means import Cell
from valuedrift.drift.sampled import FAMILY, SampledCell, sampled_cells, tuned_by_topic
from valuedrift.drift.tables import DriftRows
from valuedrift.drift.timing import Away, DriftTime, times_of
from valuedrift.drift.two_phase import DRIFT, FEW, MEAN, Tuned, TwoPhase
from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.statistics import Array
from valuedrift.statistics.intervals import Interval
from valuedrift.words import counted, percent

_TRAJECTORY = {
    "run_id": pl.String,
    "step": pl.Int64,
    **dict.fromkeys(("topic", "stance"), pl.String),
    **dict.fromkeys(("mean", "low", "high"), pl.Float64),
    "n_prompts": pl.Int32,
}
_CELLS = {
    **dict.fromkeys(("run_id", "topic"), pl.String),
    "tuning": pl.Float64,
    "n_answers": pl.Int64,
    "n_drawn": pl.Int64,
    **{f"n_{status.value}": pl.Int64 for status in JudgeStatus},
    "n_drift": pl.Int64,
    "n_effective": pl.Float64,
}
_SOME, _MANY = 0.1, 0.5
"""Shares of the answers drawn without a stance of the strong judge, from which on more is said of it."""
_UNTIMED = "too few strong judgements at an end of the run"


@dataclass(frozen=True, slots=True)
class Cascaded:
    """What a cascade finds. ``study`` and ``judge`` are columns where the stances had them.

    Attributes:
        trajectory: As `valuedrift.drift.analyze.analyze` gives it.
        drift: Likewise, drift times included.
        cells: run_id, topic; ``tuning``: λ, missing where nothing could be said; n_answers that the cheap judge has a stance for, n_drawn of them, n_ok,
            n_refused, n_unparsed, n_failed of these by the strong judge; n_drift: strong judgements at both ends of the drift; n_effective: how many of them
            alone would tell as much.
        notes: Where the sample says little, and what it leaves out.
    """

    trajectory: pl.DataFrame
    drift: pl.DataFrame
    cells: pl.DataFrame
    notes: list[str]


def cascaded(
    stances: pl.DataFrame | pl.LazyFrame,
    sample: pl.DataFrame,
    options: Analysis,
    *,
    from_step: int | None = None,
    to_step: int | None = None,
    where: str | None = None,
) -> Cascaded:
    """Trajectory and drift of every run and topic under cascades.

    Args:
        stances: A row for every answer, as `valuedrift.drift.analyze.analyze` takes it; ``judge`` names the cascade. Of answers that were drawn it does not
            matter which of the two judges they show.
        sample: The answers that were drawn: those columns of ``stances`` that tell rows apart, ``probability`` with which each was drawn, ``status`` and
            p_support, p_neutral, p_oppose of the strong judge, null where it has no stance; cheap_support, cheap_neutral, cheap_oppose of the cheap one.
        options: Confidence, resamples, seed; what the stance is taken on.
        from_step: Where the phase starts; each run's first checkpoint by default.
        to_step: Where it ends; each run's last checkpoint by default.
        where: For messages.

    Raises:
        DataError: See `valuedrift.drift.stance_frame.check_stances`.
    """
    rows = _Rows(options, (from_step, to_step))
    families = list(sampled_cells(stances, sample, options.towards, where=where))
    for family in families:
        rows.add(family)
    return rows.finish([name for name in FAMILY if families and name in families[0][0].cell.keys])


class _Rows:
    """Rows of all tables, gathered judge by judge."""

    def __init__(self, options: Analysis, ends: tuple[int | None, int | None]) -> None:
        self.options, self.ends = options, ends
        self.trajectory: list[tuple[object, ...]] = []
        self.drift: list[DriftRows] = []
        self.cells: list[tuple[object, ...]] = []
        self.blind: list[str] = []
        self.unjudged: list[str] = []
        self.drawn = 0
        self.lost: dict[str, int] = {}
        self.alike: list[str] = []

    def add(self, family: Sequence[SampledCell]) -> None:
        """All cells of one judge."""
        called = np.concatenate([one.drawn.strong for one in family]).argmax(axis=1)
        if len(called) >= FEW and len(set(called.tolist())) == 1:
            self.alike.append(f"all {len(called)} answers that it read {STANCES[called[0]].value}")
        phases = [one.two_phase() for one in family]
        for one, phase, pool in zip(family, phases, tuned_by_topic(family, phases), strict=True):
            keys = [one.cell.keys[name] for name in FAMILY if name in one.cell.keys]
            run, topic = one.cell.keys["run_id"], one.cell.keys["topic"]
            for at, step in enumerate(one.cell.steps):
                count = int((~np.isnan(one.cell.values[:, at]).any(axis=1)).sum())
                if not count:
                    continue
                found = phase.contrast(np.eye(phase.checkpoints)[at], pool if count > 1 else None, self.options.confidence, MEAN)
                for s, stance in enumerate(STANCES):
                    numbers = [float(values[s]) for values in (found.interval.estimate, found.interval.low, found.interval.high)]
                    self.trajectory.append((*keys, run, int(step), topic, stance.value, *numbers, count))
            n_drift, effective = self._drift(one, pool)
            statuses = [one.statuses.get(name, 0) for name in ("answers", "drawn", *(status.value for status in JudgeStatus))]
            self.drawn += one.statuses.get("drawn", 0)
            self.cells.append((*keys, run, topic, None if pool is None else pool.tuning, *statuses, n_drift, effective))
            for status in JudgeStatus:
                if status is not JudgeStatus.OK and one.statuses.get(status.value):
                    self.lost[status.value] = self.lost.get(status.value, 0) + one.statuses[status.value]

    def _drift(self, one: SampledCell, pool: Tuned | None) -> tuple[int | None, float | None]:
        """The drift of one cell; how many strong judgements it rests on, and how many of them alone would tell as much."""
        cell = one.cell
        first = int(cell.steps[0]) if self.ends[0] is None else self.ends[0]
        last = int(cell.steps[-1]) if self.ends[1] is None else self.ends[1]
        if first >= last or first not in cell.steps or last not in cell.steps:
            return None, None
        before, after = cell.at(first), cell.at(last)
        assert before is not None and after is not None
        kept = np.asarray(~np.isnan(after - before).any(axis=1))
        if kept.sum() < 2:
            self.unjudged.append(f"{cell.keys['run_id']}, {cell.keys['topic']}")
            return None, None
        phase = one.two_phase(kept).at(np.flatnonzero((cell.steps >= first) & (cell.steps <= last)))
        ends = np.zeros((2, phase.checkpoints))
        ends[0, 0], ends[1, -1] = 1, 1
        found = phase.contrast(ends[1] - ends[0], pool, self.options.confidence, DRIFT)
        if not found.known:
            self.blind.append(f"{cell.keys['run_id']}, {cell.keys['topic']}")
        distributions = [_whole(phase.contrast(end, pool, self.options.confidence, MEAN).interval.estimate) for end in ends]
        rows = DriftRows(self.options.confidence, dict.fromkeys(cell.keys, pl.String))
        between = cell.between(first, last)
        rows.enter(
            cell.keys,
            (first, last),
            found.interval,
            (distributions[0], distributions[1]),
            int(kept.sum()),
            self._times(between, phase, pool),
        )
        self.drift.append(rows)
        return found.n, found.effective

    def _times(self, cell: Cell, phase: TwoPhase, pool: Tuned | None) -> list[DriftTime]:
        known = np.flatnonzero(phase.sampled)
        if pool is None or not phase.sampled[0] or not phase.sampled[-1]:
            return [DriftTime(None, None, None, False, _UNTIMED)] * len(STANCES)
        return times_of(CorrectedMeans(cell.steps[known], cell.draws_key, phase.at(known), pool), self.options)

    def finish(self, family: Sequence[str]) -> Cascaded:
        """The frames, and what is to be told of them."""
        types = dict.fromkeys(family, pl.String)
        rows = DriftRows(self.options.confidence, dict.fromkeys([*types, "run_id", "topic"], pl.String))
        rows.rows = [row for part in self.drift for row in part.rows]
        trajectory = pl.DataFrame(self.trajectory, schema={**types, **_TRAJECTORY}, orient="row")
        return Cascaded(trajectory, rows.frame(), pl.DataFrame(self.cells, schema={**types, **_CELLS}, orient="row"), self._notes())

    def _notes(self) -> list[str]:
        notes = []
        lost = sum(self.lost.values())
        if self.blind:
            mend = "it has a stance for too few of those that it was given" if lost > _MANY * self.drawn else "a larger share reads more"
            notes.append(
                f"the strong judge read too few answers to say anything of {counted(len(self.blind), 'drift')} ({_some(self.blind)}): an answer at each end "
                f"and {FEW} under the judge are needed, or the interval is all that is possible; {mend}"
            )
        if self.unjudged:
            notes.append(
                f"no drift of {counted(len(self.unjudged), 'topic')} ({_some(self.unjudged)}) under the cascade: its cheap judge has a stance for fewer than "
                "two prompts at both ends, and what it has none for is not drawn for the strong one"
            )
        notes += [
            f"the strong judge calls {what}: a judge that never says anything else may not tell stances apart; see some of them in the table cascade_sample"
            for what in self.alike
        ]
        if lost:
            told = ", ".join(f"{count} {status}" for status, count in sorted(self.lost.items()))
            whole = f"; they are {percent(lost / self.drawn)} of those drawn: where it fails more on one stance than on others the numbers lean, in no interval"
            notes.append(
                f"answers drawn for the strong judge that it has no stance for: {told}; the others stand for them{whole if lost > _SOME * self.drawn else ''}"
            )
        return notes


@dataclass(frozen=True, slots=True)
class CorrectedMeans:
    """The means of a phase under both judges, for its drift time."""

    steps: NDArray[np.int64]
    draws_key: tuple[str, str]
    phase: TwoPhase
    pool: Tuned

    def level(self, confidence: float) -> Interval:
        """See `valuedrift.drift.timing.Means`."""
        found = [self.phase.contrast(weights, self.pool, confidence, MEAN).interval for weights in np.eye(self.phase.checkpoints)]
        return _stacked(found, self.phase.rounding)

    def away(self, at: NDArray[np.int64], confidence: float) -> Away:
        """See `valuedrift.drift.timing.Means`."""
        one = np.eye(self.phase.checkpoints)
        by_reference = {
            int(start): [self.phase.contrast(weights - one[start], self.pool, confidence, DRIFT) for weights in one]
            for start in np.unique(at)
        }
        values = np.stack(
            [np.stack([found.values[:, s] for found in by_reference[int(start)]], axis=1) for s, start in enumerate(at)], axis=2
        )
        spread = np.stack([[found.spread[s] for found in by_reference[int(start)]] for s, start in enumerate(at)], axis=1)
        whole = {start: _stacked([found.interval for found in contrasts], self.phase.rounding) for start, contrasts in by_reference.items()}

        def picked(name: str) -> Array:
            return np.stack([getattr(whole[int(start)], name)[:, s] for s, start in enumerate(at)], axis=1)

        estimate, low, high, error, skewness, count = (picked(name) for name in _OF_STANCES)
        return Away(values, Interval(estimate, low, high, error, skewness, count, self.phase.rounding), spread)


_OF_STANCES = ("estimate", "low", "high", "error", "skewness", "count")


def _some(cells: Sequence[str]) -> str:
    """The first of them."""
    return "; ".join(cells[:3]) + (" …" if len(cells) > 3 else "")


def _stacked(found: Sequence[Interval], rounding: float) -> Interval:
    """Intervals of several checkpoints as one. Shape (T, 3)."""
    estimate, low, high, error, skewness, count = (np.stack([getattr(one, name) for one in found]) for name in _OF_STANCES)
    return Interval(estimate, low, high, error, skewness, count, rounding)


def _whole(distribution: Array) -> Array:
    """Means as a distribution: an estimate may leave it by a little."""
    kept = np.clip(distribution, 0.0, 1.0)
    return np.asarray(kept / kept.sum()) if kept.sum() > 0 else np.full(len(kept), 1 / len(kept))
