"""Which checkpoint of a dense series to evaluate next: the ends, then where drift time or the largest change is least certain."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valuedrift.drift.prompt_means import Cell
from valuedrift.statistics import Array
from valuedrift.statistics.intervals import mean_interval

_CONFIDENCE = 0.95
"""Level of the interval that a change is held against. It moves a choice, never a number that is told."""
_SURE = 2.5
"""Standard errors beyond which a checkpoint has surely arrived. Chosen by simulation: with 0 a tenth more of late drifts are timed wrongly."""
_UNSEEN = 2.0
"""Squared half intervals that a stance may wander over the whole run though nothing was seen of it. Chosen by simulation: with 8 the budget goes to plateaus,
with 0.5 to the first change that is found."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is of a run, and what of it was evaluated.

    Attributes:
        steps: All its checkpoints.
        evaluated: Those that are evaluated.
        failed: Those that were tried in vain.
        cells: Prompt means of each topic at those that are evaluated.
        growing: Whether more checkpoints may come.
    """

    steps: tuple[int, ...]
    evaluated: frozenset[int] = frozenset()
    failed: frozenset[int] = frozenset()
    cells: tuple[Cell, ...] = ()
    growing: bool = False


def chosen_steps(seen: Seen, budget: int, before: frozenset[int] = frozenset()) -> frozenset[int]:
    """The checkpoints of a run that are evaluated already or next.

    What is evaluated counts, so that a run that was interrupted goes on as it would have. While a training goes on, half of the budget follows it: its newest
    checkpoint is taken whenever it is twice as far as the last one taken. The other half is for when all is there.

    Args:
        seen: What there is.
        budget: How many at most, 3 or more.
        before: What was chosen last; kept until all of it is evaluated.
    """
    there = frozenset(seen.steps)
    tried, before = (seen.evaluated | seen.failed) & there, before & there
    if not before <= tried or not there:
        return before
    first, last = min(there), max(there)
    spent = len(tried) >= budget
    if len(tried) > budget or (spent and not seen.growing and not {first, last} <= tried):
        return _from_the_start(seen, budget)
    if spent:
        return tried
    if seen.growing:
        room = len(tried) < max(2, (budget + 1) // 2)
        due = first if not tried else last if last >= 2 * max(tried) else None
        return tried | {due} if room and due is not None and due not in tried else tried
    return tried | _wanted(seen, tried, budget)


def _wanted(seen: Seen, tried: frozenset[int], budget: int) -> frozenset[int]:
    """The ends at once, then one after another."""
    ends = [step for step in (min(seen.steps), max(seen.steps)) if step not in tried]
    if ends:
        return frozenset(ends[: budget - len(tried)])
    step = next_step([_at(cell, tried) for cell in seen.cells], seen.steps, tried)
    return frozenset() if step is None else frozenset({step})


def _from_the_start(seen: Seen, budget: int) -> frozenset[int]:
    """As if nothing but what would have been chosen were evaluated: where more is than the budget allows, or the run has grown since."""
    tried: frozenset[int] = frozenset()
    while len(tried) < budget and tried <= seen.evaluated | seen.failed:
        if not (wanted := _wanted(seen, tried, budget)):
            break
        tried |= wanted
    return tried


def _at(cell: Cell, steps: Collection[int]) -> Cell:
    kept = np.isin(cell.steps, list(steps))
    return cell if kept.all() else Cell(cell.keys, cell.steps[kept], cell.prompts, cell.values[:, kept], cell.rounding)


def next_step(cells: Sequence[Cell], steps: Sequence[int], tried: Collection[int]) -> int | None:
    """The checkpoint to evaluate next, chosen from what the others have shown and nothing else.

    Between two evaluated checkpoints a stance is taken to wander at the rate that it shows around there (a Brownian bridge). So every gap may hold a
    larger change than the largest so far, and, before the first arrival within noise of that, a chance to hold a sure earlier one. The gap in which these
    chances, added over topics and stances, put the most checkpoints in doubt is halved.

    Args:
        cells: Prompt means of each topic at the checkpoints that are evaluated.
        steps: All checkpoints of the run.
        tried: Those that are evaluated, or that failed and will not be.

    Returns:
        A step that is not among those tried; None where there is none.
    """
    ordered = sorted(steps)
    for end in (ordered[0], ordered[-1]) if ordered else ():
        if end not in tried:
            return end
    closed = np.flatnonzero([step in tried for step in ordered])
    lacking = np.diff(closed) - 1
    if not np.any(lacking):
        return None
    chance = np.zeros(len(lacking))
    for cell in cells:
        chance += _chance(cell, np.searchsorted(ordered, cell.steps), closed)
    # Where nothing is in doubt, as where nothing could be judged, the widest gap.
    gap = int(np.lexsort((-lacking, -chance * lacking))[0])
    return ordered[int(closed[gap] + closed[gap + 1]) // 2]


def _chance(cell: Cell, at: NDArray[np.int64], closed: NDArray[np.int64]) -> Array:
    """For every gap between neighbours of ``closed``, the chances of a topic's stances that what is looked for lies in it, added."""
    found = np.zeros(len(closed) - 1)
    if len(at) < 2 or len(cell.prompts) < 2:
        return found
    level = mean_interval(cell.values, _CONFIDENCE, bounds=(0.0, 1.0), rounding=cell.rounding)
    change = mean_interval(cell.values - cell.values[:, :1], _CONFIDENCE, bounds=(-1.0, 1.0), rounding=cell.rounding)
    moved = np.nan_to_num(change.estimate)
    stances = np.arange(moved.shape[1])
    top = np.abs(moved).argmax(axis=0)
    short = mean_interval(cell.values[:, top, stances][:, None] - cell.values, _CONFIDENCE, bounds=(-1.0, 1.0), rounding=cell.rounding)
    # the gap of the cell in which each gap of the run lies: a topic may lack checkpoints that others have
    within = np.clip(np.searchsorted(at, closed[:-1], side="right") - 1, 0, len(at) - 2)
    for s in stances:
        height = moved[:, s] * np.sign(moved[top[s], s])
        noise = (level.high[top[s], s] - level.low[top[s], s]) / 2
        if noise > 0:
            error = float(np.median(np.nan_to_num(np.delete(short.error[:, s], top[s]))))
            found += _chances(height, at, noise, error)[within]
    return found


def _chances(height: Array, at: NDArray[np.int64], noise: float, error: float) -> Array:
    """For every gap of one stance, the chance of a larger change plus that of an earlier arrival.

    Args:
        height: Change from the start, towards where it is largest. Shape (T,).
        at: Which checkpoints of the run these are. Shape (T,).
        noise: Half the interval of the mean where the change is largest.
        error: Standard error of a difference of two checkpoints.
    """
    length = np.diff(at)
    squares = np.maximum(np.diff(height) ** 2 - 2 * error**2, 0.0)
    rate = _around(squares) / _around(length) + _UNSEEN * noise**2 / length.sum()
    highest = height.max()
    beyond = _reached(height, highest + noise, rate * length)
    arrived = int((height >= highest - noise).argmax())
    earlier = _reached(height, min(highest, highest - noise + _SURE * error), rate * length)
    earlier[arrived:] = 0.0
    return beyond + earlier


def _around(gaps: Array) -> Array:
    """Sums over every gap and its neighbours."""
    padded = np.pad(gaps, 1)
    return np.asarray(padded[:-2] + padded[1:-1] + padded[2:], dtype=np.float64)


def _reached(height: Array, bar: float, variance: Array) -> Array:
    """The chance of a Brownian bridge between each two neighbours to reach a bar: exp(−2 (bar − left)(bar − right) / variance), 1 from above it."""
    left, right = np.maximum(bar - height[:-1], 0.0), np.maximum(bar - height[1:], 0.0)
    return np.asarray(np.exp(-2 * left * right / variance))
