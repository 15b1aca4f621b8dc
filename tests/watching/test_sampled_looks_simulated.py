"""Alerts under a cascade, by simulation: how often one fires where nothing moves."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from valuedrift.drift.prompt_means import Cell
from valuedrift.drift.sampled import SampledCell
from valuedrift.watching.alerts import Alerts
from valuedrift.watching.sampled_looks import looks_at_run
from valuedrift.watching.spending import Spending

sys.path.insert(0, str(Path(__file__).parents[1] / "drift"))
from two_judges import FIRST, both_judges, drawn_of  # of the tests of drift

CHECKPOINTS, PROMPTS, SAMPLES = 6, 50, 5
DOUBTED = 0.51
"""A confidence so low that alerts would fire for nothing often enough to be counted."""


def run(random: np.random.Generator, kind: str, share: float, key: str) -> list[SampledCell]:
    """Four topics of a run that does not move: undecided, nearly neutral, split, in a corner."""
    found = []
    for topic, mean in enumerate(FIRST):
        chance = mean * np.exp(1.2 * random.normal(size=(PROMPTS, 3)))
        chance /= chance.sum(-1, keepdims=True)
        strong, cheap = both_judges(random, np.repeat(chance[:, None], CHECKPOINTS, axis=1), SAMPLES, kind)
        keys = {"run_id": "r", "topic": f"t{topic}"}
        cell = Cell(keys, np.arange(CHECKPOINTS) * 10, tuple(f"p{at}" for at in range(PROMPTS)), cheap.mean(axis=1))
        found.append(SampledCell(cell, drawn_of(strong, cheap, share, f"{key} {topic}"), np.arange(PROMPTS) + topic * PROMPTS, {}))
    return found


def false_alerts(kind: str, share: float, runs: int) -> int:
    """Runs without drift in which anything is said to have moved."""
    random, alerts = np.random.default_rng(7), Alerts(confidence=DOUBTED)
    fired = 0
    for at in range(runs):
        rows = looks_at_run(run(random, kind, share, str(at)), alerts)
        fired += any(row["change_low"] > 0 or row["change_high"] < 0 for row in rows)  # type: ignore[operator]  # numbers
    return fired


def allowed() -> float:
    """The error that is spent after the looks of a run."""
    return (1 - DOUBTED) * float(Spending(DOUBTED, 3 * len(FIRST)).spent(np.array([CHECKPOINTS - 1.0]))[0])


@pytest.mark.parametrize("share", [0.02, 0.05, 0.10])
@pytest.mark.parametrize("kind", ["good", "useless"])
def test_an_alert_without_drift_is_as_rare_as_stated(kind: str, share: float) -> None:
    runs = 25
    assert false_alerts(kind, share, runs) <= binom.ppf(0.99, runs, allowed())


@pytest.mark.figures
@pytest.mark.timeout(3000)
def test_the_table_of_the_docs() -> None:
    """docs/judges.md, *Cascade*: alerts."""
    runs = 400
    print(f"\nallowed: {allowed():.2%}\n| cheap judge | share | runs with a false alert |\n|---|---|---|")
    for kind in ("good", "biased", "useless"):
        for share in (0.02, 0.05, 0.10):
            fired = false_alerts(kind, share, runs)
            print(f"| {kind} | {share:.0%} | {fired / runs:.2%} |")
            assert fired <= binom.ppf(0.99, runs, allowed())
