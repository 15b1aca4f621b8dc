"""The promise behind every interval: simulated studies whose truth is known. Prints the table that docs/statistics.md quotes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from made_stances import as_stances, softmax
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis
from valuedrift.drift.prompt_means import Cell
from valuedrift.drift.timing import drift_times
from valuedrift.statistics.intervals import mean_interval

pytestmark = pytest.mark.slow

Array = NDArray[np.float64]
SAMPLES = 5
REPLICATES = 4000


@dataclass(frozen=True)
class World:
    """How the prompts of a topic answer: scores of the three stances, their spread between prompts and samples, and how sure the judge is."""

    scores: tuple[float, float, float]
    sure: float = 1.0
    at_ten: float = 0.93
    """Coverage promised at 10 prompts. A stance that less than one of them takes may not be met at all: see `valuedrift.drift.coverage`."""

    def prompts(self, rng: np.random.Generator, count: int, replicates: int, curve: Array) -> Array:
        """Prompt means, shape (count, replicates, T, 3); ``curve`` moves the first stance's score at each of T checkpoints."""
        level = np.array(self.scores) + rng.normal(size=(count, replicates, 1, 3))
        level = np.repeat(level, len(curve), axis=2)
        level[..., 0] += (1 + 0.7 * rng.normal(size=(count, replicates, 1))) * curve
        total = np.zeros(level.shape)
        for _ in range(SAMPLES):
            total += softmax(self.sure * (level + 0.7 * rng.normal(size=level.shape)))
        return total / SAMPLES


WORLDS = {
    "even": World((0.0, 0.0, 0.0)),
    "neutral leads": World((0.3, 1.2, 0.3)),
    "sure judge": World((0.3, 0.5, 0.0), sure=4.0),
    "rare stance": World((0.0, 2.0, -1.0), sure=4.0, at_ten=0.87),
}
CURVES = {
    "jump at 0.2": lambda t: np.where(t >= 0.2, 1.5, 0.0),
    "ramp to 0.3": lambda t: 1.5 * np.minimum(1, t / 0.3),
    "exponential": lambda t: 1.5 * (1 - np.exp(-t / 0.15)),
    "late, smooth": lambda t: 1.5 / (1 + np.exp(-(t - 0.6) / 0.05)),
    "hump at 0.4": lambda t: 2 * np.where(t <= 0.4, t / 0.4, 1 - (t - 0.4)),
}


@pytest.fixture(scope="module")
def show() -> Iterator[list[tuple[str, ...]]]:
    """Rows gathered by the tests and printed as one table at the end."""
    rows: list[tuple[str, ...]] = []
    yield rows
    table = Table("what", "world", "prompts", "coverage or rate", "mean width", "note", title="Simulated studies, nominal 95%")
    for row in rows:
        table.add_row(*row)
    Console(width=140, force_terminal=False).print(table)


@pytest.mark.parametrize("prompts", [50, 10])
@pytest.mark.parametrize("name", WORLDS)
def test_intervals_of_mean_and_magnitude_cover(name: str, prompts: int, show: list[tuple[str, ...]]) -> None:
    world, rng = WORLDS[name], np.random.default_rng(1)
    curve = np.array([0.0, 1.0])
    truth = world.prompts(rng, 150_000, 1, curve)[:, 0].mean(axis=0)
    made = world.prompts(rng, prompts, REPLICATES, curve)
    level = mean_interval(made[:, :, 0], 0.95, bounds=(0.0, 1.0))
    moved = mean_interval(made[:, :, 1] - made[:, :, 0], 0.95, bounds=(-1.0, 1.0))
    for what, found, true in (("mean", level, truth[0]), ("magnitude", moved, truth[1] - truth[0])):
        covered = ((found.low <= true) & (true <= found.high)).mean(axis=0)
        width = (found.high - found.low).mean(axis=0)
        least = 0.93 if prompts == 50 else world.at_ten
        note = "" if least >= 0.93 else f"rare: promised from {least:.0%}"
        shown = " ".join(f"{share:.1%}" for share in covered)
        show.append((what, f"{name} {np.round(true, 2).tolist()}", str(prompts), shown, f"{width.mean():.3f}", note))
        assert (covered >= least).all(), shown
        assert (covered <= 0.97).all(), shown


def true_time(truth: Array, share: Array, half: Array) -> list[float]:
    """The paper's drift time of the true means, with the interval that a study of this size has on average."""
    times = []
    for s in range(3):
        from_start = truth[:, s] - truth[0, s]
        at = int(np.abs(from_start).argmax())
        short = np.sign(from_start[at]) * (truth[at, s] - truth[:, s])
        times.append(float(share[np.flatnonzero(short <= half[s])[0]]))
    return times


@pytest.mark.parametrize("prompts", [50, 10])
@pytest.mark.parametrize("name", CURVES)
def test_intervals_of_drift_time_cover(name: str, prompts: int, show: list[tuple[str, ...]]) -> None:
    world, rng = WORLDS["neutral leads"], np.random.default_rng(2)
    checkpoints, replicates = 20, 120
    share = np.arange(checkpoints) / (checkpoints - 1)
    curve = CURVES[name](share)
    truth = world.prompts(rng, 20_000, 1, curve)[:, 0].mean(axis=0)
    made = world.prompts(rng, prompts, replicates, curve)
    at = np.abs(truth - truth[0]).argmax(axis=0)
    level = mean_interval(made, 0.95, bounds=(0.0, 1.0))
    half = ((level.high - level.low) / 2).mean(axis=0)[at, range(3)]
    times = true_time(truth, share, half)
    steps = np.arange(checkpoints) * 100
    hits, widths, late, timed = [], [], [], 0
    for replicate in range(replicates):
        cell = Cell({"topic": str(replicate)}, steps, tuple(str(i) for i in range(prompts)), made[:, replicate])
        for s, found in enumerate(drift_times(cell, Analysis(resamples=200))):
            if found.value is not None:
                timed += 1
                hits.append(found.low - 1e-9 <= times[s] <= found.high + 1e-9)
                widths.append(found.high - found.low)
                late.append(found.value - times[s])
    note = f"timed {timed / replicates / 3:.0%}, estimate late by {np.mean(late):+.3f}"
    show.append(
        ("drift time", f"{name} {np.round(times, 2).tolist()}", str(prompts), f"{np.mean(hits):.1%}", f"{np.mean(widths):.3f}", note)
    )
    assert timed > 100
    assert np.mean(hits) >= 0.90


@pytest.mark.parametrize("prompts", [50, 10])
def test_a_study_without_drift_is_flagged_at_most_at_the_stated_rate(prompts: int, show: list[tuple[str, ...]]) -> None:
    studies, topics, checkpoints = 160, 11, 3
    rng = np.random.default_rng(3)
    world = WORLDS["neutral leads"]
    made = world.prompts(rng, prompts, studies * topics, np.zeros(checkpoints)).reshape(prompts, studies, topics, checkpoints, 3)
    at = np.indices((studies, checkpoints, topics, prompts, 1)).reshape(5, -1)
    stances = as_stances(made.transpose(1, 3, 2, 0, 4).reshape(-1, 3), *at)
    found = analyze(stances, Analysis(resamples=200)).drift
    flagged = found.group_by("run_id").agg((pl.col("q_value") <= 0.05).any())["q_value"].mean()
    single = (found["p_value"] <= 0.05).mean()
    timed = found["drift_time"].is_not_null().mean()
    note = f"single tests {single:.1%}, drift times given {timed:.1%}"
    show.append(("a run flagged", "no drift", str(prompts), f"{flagged:.1%}", "", note))
    assert flagged <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies), "more than the rate and its sampling error"
    assert 0.035 <= single <= 0.06
    assert timed <= 0.05
