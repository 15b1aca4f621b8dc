"""Trajectory and drift over seeds: what runs that differ in seed alone have in common, and how much of the spread is the seeds' and how much the prompts'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no types

from valuedrift.drift.options import Analysis
from valuedrift.drift.prompt_means import Cell, cells, oriented, prompt_means
from valuedrift.drift.tables import with_q
from valuedrift.stance import STANCE_COLUMNS, STANCES
from valuedrift.statistics import Array
from valuedrift.statistics.crossed import Crossed, crossed
from valuedrift.statistics.rounding import rounding_of
from valuedrift.words import counted, listed

SEEDS_VERSION = 1
"""Raised when these statistics change their numbers."""
_Key = tuple[str, str, str]
"""Judge, run_group, topic."""
_KEYS = dict.fromkeys(("judge", "run_group", "topic", "stance"), pl.String)
_COUNTS = dict.fromkeys(("n_prompts", "left_out_prompts", "n_seeds", "lacking_seeds"), pl.Int32)
_TRAJECTORY = {**_KEYS, "step": pl.Int64, **dict.fromkeys(("mean", "low", "high", "seed_share", "prompt_share"), pl.Float64), **_COUNTS}
_DRIFT = {
    **_KEYS,
    **dict.fromkeys(("from_step", "to_step"), pl.Int64),
    **dict.fromkeys(("magnitude", "magnitude_low", "magnitude_high", "seed_share", "prompt_share"), pl.Float64),
    **_COUNTS,
    **dict.fromkeys(("seed_sd", "prompt_sd", "rest_sd", "smallest", "largest", "p_value"), pl.Float64),
}


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """What an analysis over seeds found.

    Attributes:
        trajectory: Table seed_trajectory, without ``study``.
        drift: Table seed_drift, without ``study``.
        notes: What is left out, and why.
    """

    trajectory: pl.DataFrame
    drift: pl.DataFrame
    notes: list[str]


def over_seeds(stances: pl.DataFrame | pl.LazyFrame, groups: Mapping[str, str], options: Analysis) -> OverSeeds:
    """Trajectory and drift of each group of runs, topic and stance, with prompts and seeds as crossed random effects.

    Args:
        stances: Judged answers of one study as `valuedrift.drift.analyze.analyze` takes them, with ``judge``.
        groups: Group of each run that is planned, by run_id.
        options: Confidence; what the stance is taken on.

    Returns:
        Tables sorted by judge, run_group and topic. A prompt enters where it was judged in every run of the group; a group of which fewer than two runs were
        judged has no rows.
    """
    frame = stances.lazy().filter(pl.col("run_id").is_in(list(groups)))
    rounding, planned = rounding_of(frame, STANCE_COLUMNS), Counter(groups.values())
    together: dict[_Key, list[Cell]] = {}
    for cell in cells(oriented(prompt_means(frame), options.towards), rounding):
        together.setdefault((cell.keys["judge"], groups[cell.keys["run_id"]], cell.keys["topic"]), []).append(cell)
    trajectory: list[tuple[object, ...]] = []
    drift: list[tuple[object, ...]] = []
    with threadpool_limits(limits=1, user_api="blas"):  # as in analyze
        for key, own in sorted(together.items()):
            if len(own) > 1:
                grid = _Grid(own, planned[key[1]], options.confidence)
                trajectory += [(*key[:3], *row) for row in grid.trajectory()]
                drift += [(*key[:3], *row) for row in grid.drift()]
    drifts = pl.DataFrame(drift, schema=_DRIFT, orient="row")
    for family, name in ((["judge", "run_group"], "q_value"), (["judge"], "q_value_study")):
        drifts = with_q(drifts, family, name)
    lines = pl.DataFrame(trajectory, schema=_TRAJECTORY, orient="row").sort(["judge", "run_group", "topic", "step"], maintain_order=True)
    return OverSeeds(lines, drifts, _notes(groups, together, drifts))


class _Grid:
    """One topic under one judge over the runs of a group: prompt means by prompt, run, step and stance, NaN where there is none."""

    def __init__(self, runs: Sequence[Cell], planned: int, confidence: float) -> None:
        self.confidence, self.rounding, self.lacking = confidence, runs[0].rounding, planned - len(runs)
        self.steps: list[int] = sorted(set[int].intersection(*(set(run.steps.tolist()) for run in runs)))
        place = {prompt: at for at, prompt in enumerate(sorted({prompt for run in runs for prompt in run.prompts}))}
        self.values = np.full((len(place), len(runs), len(self.steps), len(STANCES)), np.nan)
        for at, run in enumerate(runs):
            self.values[[place[prompt] for prompt in run.prompts], at] = run.values[:, np.isin(run.steps, self.steps)]

    def trajectory(self) -> Iterator[tuple[object, ...]]:
        """Rows of seed_trajectory behind their keys; steps at which the same prompts were judged are done at once."""
        kept, of_step = np.unique(~np.isnan(self.values).any(axis=(1, 3)), axis=1, return_inverse=True)
        steps = np.asarray(self.steps)
        for at in np.unique(of_step):
            found = self._found(self.values[kept[:, at]][:, :, of_step == at], (0.0, 1.0))
            for (t, s), _ in np.ndenumerate(found.mean) if found is not None else ():
                assert found is not None
                numbers = _numbers(found.mean, found.low, found.high, *found.shares, at=(t, s))
                yield STANCES[s].value, int(steps[of_step == at][t]), *numbers, *self._counts(found)

    def drift(self) -> Iterator[tuple[object, ...]]:
        """Rows of seed_drift behind their keys."""
        if len(self.steps) < 2:
            return
        changes = self.values[:, :, -1] - self.values[:, :, 0]
        found = self._found(changes, (-1.0, 1.0))
        if found is None:
            return
        of_runs = _judged_in_all(changes).mean(axis=0)
        spreads = (np.sqrt(part) for part in (found.seeds, found.prompts, found.rest))
        behind = (*spreads, of_runs.min(axis=0), of_runs.max(axis=0), found.p_value)
        for s, stance in enumerate(STANCES):
            numbers = _numbers(found.mean, found.low, found.high, *found.shares, at=s)
            yield stance.value, self.steps[0], self.steps[-1], *numbers, *self._counts(found), *_numbers(*behind, at=s)

    def _found(self, values: Array, bounds: tuple[float, float]) -> Crossed | None:
        """Over the prompts that were judged in every run; None below two of them."""
        whole = _judged_in_all(values)
        return crossed(whole, self.confidence, bounds=bounds, rounding=self.rounding) if len(whole) > 1 else None

    def _counts(self, found: Crossed) -> tuple[int, int, int, int]:
        return found.n_prompts, len(self.values) - found.n_prompts, found.n_seeds, self.lacking


def _judged_in_all(values: Array) -> Array:
    return np.asarray(values[~np.isnan(values).any(axis=tuple(range(1, values.ndim)))])


def _numbers(*arrays: Array, at: int | tuple[int, ...]) -> tuple[float | None, ...]:
    """One stance's (and step's), null where they are not defined."""
    return tuple(None if np.isnan(array[at]) else float(array[at]) for array in arrays)


def _notes(groups: Mapping[str, str], together: Mapping[_Key, Sequence[Cell]], drift: pl.DataFrame) -> list[str]:
    """Runs that are not there, and prompts that were not judged in all runs of their group."""
    judged = {cell.keys["run_id"] for own in together.values() for cell in own}
    notes = []
    for group in dict.fromkeys(groups.values()):
        runs = [run for run, of in groups.items() if of == group]
        if lacking := [run for run in runs if run not in judged]:
            rest = len(runs) - len(lacking)
            what = f"it is told over {rest} seeds of {len(runs)}" if rest > 1 else "nothing is told of it over seeds"
            notes.append(f"over seeds, {listed(lacking)} of {group} {'is' if len(lacking) == 1 else 'are'} lacking: {what}")
    told = set(drift.select("judge", "run_group", "topic").unique().iter_rows())
    if short := [
        f"{group} on {topic} under {judge}"
        for judge, group, topic in together
        if (judge, group, topic) not in told and len(together[judge, group, topic]) > 1
    ]:
        notes.append(
            f"over seeds, fewer than two prompts were judged at both ends of every run: there is no drift of {listed(sorted(short))}"
        )
    if most := int(drift.get_column("left_out_prompts").max() or 0):  # type: ignore[arg-type]
        notes.append(f"over seeds, up to {counted(most, 'prompt')} of a topic not judged in every run of a group are left out")
    return notes
