"""Drift times under a cascade, by simulation: how often their intervals hold, and how often one is told where nothing moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
from two_judges import both_judges, two_phase

from valuedrift.drift.cascade import CorrectedMeans
from valuedrift.drift.options import Analysis
from valuedrift.drift.timing import times_of
from valuedrift.drift.two_phase import tuned

CHECKPOINTS, PROMPTS, SAMPLES = 8, 60, 5
SHARE = np.arange(CHECKPOINTS) / (CHECKPOINTS - 1)
CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "no drift": lambda t: 0 * t,
    "jump at 0.2": lambda t: np.where(t >= 0.2, 1.5, 0.0),
    "late, smooth": lambda t: 1.5 / (1 + np.exp(-(t - 0.6) / 0.05)),
    "hump at 0.4": lambda t: 2 * np.where(t <= 0.4, t / 0.4, 1 - (t - 0.4)),
}
MOVING = [name for name in CURVES if name != "no drift"]
JUDGES = ("good", "biased", "useless")


@dataclass
class Timed:
    """Drift times of many studies.

    Attributes:
        of: Stances over all studies.
        held: Whether the interval of each that was timed holds the true time.
        width: How wide it is.
    """

    of: int = 0
    held: list[bool] = field(default_factory=list)
    width: list[float] = field(default_factory=list)

    @property
    def told(self) -> float:
        """How often a time is told at all."""
        return len(self.held) / self.of


@cache
def true_means(name: str) -> np.ndarray:
    """What the strong judge would say on average over very many prompts. Shape (T, 3)."""
    return topic(np.random.default_rng(0), 40_000, CURVES[name](SHARE), "good", 1)[0].mean(axis=(0, 1))


def topic(random: np.random.Generator, prompts: int, curve: np.ndarray, kind: str, samples: int = SAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """What both judges say of a topic whose score of support moves along a curve, by prompts unequally."""
    level = np.array([0.3, 1.2, 0.3]) + random.normal(size=(prompts, 1, 3)) + np.zeros((len(curve), 3))
    level[..., 0] += (1 + 0.7 * random.normal(size=(prompts, 1))) * curve
    chance = np.exp(level)
    return both_judges(random, chance / chance.sum(-1, keepdims=True), samples, kind)


def simulated(name: str, kind: str, share: float, studies: int) -> Timed:
    """Drift times of one topic and run in many studies, and the true ones: those of the true means within the interval that the study has at the extremum."""
    curve, random, seen = CURVES[name](SHARE), np.random.default_rng(5), Timed()
    truth = true_means(name)
    moved = truth - truth[0]
    at, stances = np.abs(moved).argmax(axis=0), np.arange(3)
    short = np.sign(moved[at, stances]) * (truth[at, stances] - truth)
    for study in range(studies):
        cell = two_phase(*topic(random, PROMPTS, curve, kind), share, str(study))
        pool = tuned([cell])
        assert pool is not None
        means = CorrectedMeans(np.arange(CHECKPOINTS) * 100, (name, str(study)), cell, pool)
        level = means.level(0.95)
        half = ((level.high - level.low) / 2)[at, stances]
        for stance, found in enumerate(times_of(means, Analysis(resamples=200))):
            seen.of += 1
            if found.low is not None and found.high is not None:
                true = SHARE[np.flatnonzero(short[:, stance] <= half[stance])[0]]
                seen.held.append(bool(found.low - 1e-9 <= true <= found.high + 1e-9))
                seen.width.append(found.high - found.low)
    return seen


@pytest.mark.parametrize(
    ("name", "kind", "share"),
    [("jump at 0.2", "good", 0.05), ("jump at 0.2", "useless", 0.10), ("late, smooth", "good", 0.10), ("hump at 0.4", "useless", 0.10)],
)
def test_the_interval_of_a_drift_time_holds(name: str, kind: str, share: float) -> None:
    seen = simulated(name, kind, share, 20)
    assert len(seen.held) >= 10 and np.mean(seen.held) >= 0.90, f"{len(seen.held)} timed, {np.mean(seen.held):.1%} hold"


@pytest.mark.parametrize("share", [0.02, 0.05, 0.10])
@pytest.mark.parametrize("kind", ["good", "useless"])
def test_where_nothing_moves_a_time_is_told_at_most_at_the_stated_rate(kind: str, share: float) -> None:
    studies = 20
    assert simulated("no drift", kind, share, studies).told <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)


@pytest.mark.figures
@pytest.mark.timeout(3000)
def test_the_table_of_the_docs() -> None:
    """docs/judges.md, *Cascade*: drift times."""
    print("\n| the stance | cheap judge | share | told | holds | mean width |\n|---|---|---|---|---|---|")
    for name in CURVES:
        for kind in JUDGES:
            for share in (0.02, 0.05, 0.10):
                seen = simulated(name, kind, share, 200)
                shown = f"{np.mean(seen.held):.1%} | {np.mean(seen.width):.2f}" if name in MOVING and seen.held else " | "
                print(f"| {name} | {kind} | {share:.0%} | {seen.told:.1%} | {shown} |")
                assert name in MOVING or seen.told <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)
                assert name not in MOVING or np.mean(seen.held) >= 0.93
