"""What an alert promises, over made trainings: how often there is a false alarm, and how soon a true drift is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from scipy.stats import beta
from trainings import SAMPLES, Answers, Array, alike, decided, differing, hard, judged, rare, shifted

from valuedrift.watching.discernible import smallest_discernible_drift
from valuedrift.watching.many_looks import changes
from valuedrift.watching.spending import Spending

CHECKPOINTS, TOPICS, STANCES = 100, 11, 3
BATCH = 50
DRAWN_TOGETHER = 200
"""Trainings with the same prompts, where those are drawn anew again and again."""
Make = Callable[[np.random.Generator, int], Answers]
Change = Callable[[np.random.Generator, Array], Array]


@pytest.fixture(scope="module")
def show() -> Iterator[Table]:
    """One table of all that was simulated, printed at the end."""
    table = Table(
        "trainings", "answers", "prompts", "looks", "rate", "upper 95% limit", title="Alerts at 95%, 100 checkpoints, 11 topics, 3 stances"
    )
    yield table
    Console(width=150, force_terminal=False).print(table)


def upper(hits: int, of: int) -> float:
    """One-sided exact upper 95% limit of a rate (Clopper–Pearson)."""
    return float(beta.ppf(0.95, hits + 1, of - hits)) if hits < of else 1.0


def false_alarms(make: Make, prompts: int, trainings: int, planned: int | None, disturb: Change | None = None) -> int:
    """Trainings of 100 checkpoints without drift in which any topic and stance was said to have moved."""
    rng = np.random.default_rng(20)
    levels = Spending(0.95, TOPICS * STANCES, planned).levels(CHECKPOINTS)
    alarmed = np.zeros(trainings, dtype=bool)
    for _ in range(TOPICS):
        answers = make(rng, prompts)
        for first in range(0, trainings, BATCH):
            values = answers.draw(rng, CHECKPOINTS + 1, min(BATCH, trainings - first))
            found = changes(values if disturb is None else disturb(rng, values), levels)
            alarmed[first : first + BATCH] |= ((found.low > 0) | (found.high < 0)).any(axis=(0, 1, 3))
    return int(alarmed.sum())


def from_alike(rng: np.random.Generator, prompts: int) -> Answers:
    return hard(alike(rng, prompts))


@pytest.mark.slow
def test_of_2000_trainings_without_drift_no_more_than_1_in_20_raises_an_alarm(show: Table) -> None:
    trainings = 2000
    hits = false_alarms(from_alike, 50, trainings, CHECKPOINTS)
    limit = upper(hits, trainings)
    show.add_row("no drift", "hard, undecided", "50", "100 planned", f"{hits / trainings:.2%}", f"{limit:.2%}")
    assert limit <= 0.06
    assert hits / trainings >= 0.025, "far below its level an alert is late for nothing"


def some_missing(rng: np.random.Generator, values: Array) -> Array:
    """A tenth of the prompts at each checkpoint had no answer that could be judged."""
    return np.where(rng.random(values.shape[:-1])[..., None] < 0.1, np.nan, values)


def wandering(rng: np.random.Generator, values: Array) -> Array:
    """Each prompt goes its own way by a little at each checkpoint, in no common direction."""
    steps = 0.02 * rng.normal(size=(*values.shape[:-1], 1)) * np.array([1, -0.5, -0.5])
    steps[:, 0] = 0
    return np.clip(values + np.cumsum(steps, axis=1), -1, 2)


def kept(rng: np.random.Generator, values: Array) -> Array:
    """Answers without temperature: a prompt keeps its answer from one checkpoint to the next nine times in ten, else it answers anew."""
    anew = rng.random(values.shape[:-1]) < 0.1
    anew[:, 0] = True
    since = np.maximum.accumulate(np.where(anew, np.arange(values.shape[1])[None, :, None], 0), axis=1)
    return np.take_along_axis(values, since[..., None], axis=1)


class World(NamedTuple):
    """Trainings in which no topic moves."""

    answers: str
    make: Make
    prompts: int
    planned: int | None = CHECKPOINTS
    disturb: Change | None = None


KINDS: dict[str, Make] = {
    "hard, undecided": from_alike,
    "hard, prompts differ": lambda rng, prompts: hard(differing(rng, prompts)),
    "hard, mostly decided": lambda rng, prompts: hard(decided(rng, prompts)),
    "hard, two stances rare": lambda rng, prompts: hard(rare(rng, prompts)),
    "hard, one answer a prompt": lambda rng, prompts: hard(differing(rng, prompts), 1),
    "a judge's probabilities": lambda rng, prompts: judged(rng, differing(rng, prompts), 3.0),
}
WORLDS = [
    *(World(name, make, prompts) for prompts in (50, 10) for name, make in KINDS.items()),
    *(World(name, KINDS[name], prompts, None) for prompts in (50, 10) for name in ("hard, undecided", "hard, prompts differ")),
    *(World("hard, a tenth missing", KINDS["hard, prompts differ"], prompts, disturb=some_missing) for prompts in (50, 10)),
    World("hard, prompts differ", KINDS["hard, prompts differ"], 4),
    *(World("hard, one answer, kept", KINDS["hard, one answer a prompt"], prompts, disturb=kept) for prompts in (50, 10)),
    World("a judge's; prompts wander", KINDS["a judge's probabilities"], 50, disturb=wandering),
]


@pytest.mark.figures
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: f"{world.answers}-{world.prompts}-{world.planned}")
def test_no_kind_of_answers_raises_more_false_alarms(world: World, show: Table) -> None:
    trainings = 2000 if os.environ.get("VALUEDRIFT_FULL_BENCHMARKS") else 400
    hits = false_alarms(world.make, world.prompts, trainings, world.planned, world.disturb)
    looks = f"{world.planned} planned" if world.planned else "unknown"
    show.add_row("no drift", world.answers, str(world.prompts), looks, f"{hits / trainings:.2%}", f"{upper(hits, trainings):.2%}")
    assert hits / trainings <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / trainings), "more than 5% and its sampling error"


def called(
    before: Make, spread: float, at: int, planned: int | None, trainings: int, drift: float = 0.2, prompts: int = 50
) -> tuple[float, float]:
    """Share of trainings in which a lasting drift that a look shows first is called at that look, and at that or the next."""
    rng = np.random.default_rng(21)
    levels = Spending(0.95, TOPICS * STANCES, planned).levels(at + 1)
    soon, next_ = [], []
    for _ in range(0, trainings, DRAWN_TOGETHER):
        shares = before(rng, prompts)
        after = hard(shifted(rng, shares, drift, spread))
        values = np.concatenate([hard(shares).draw(rng, at, DRAWN_TOGETHER), after.draw(rng, 2, DRAWN_TOGETHER)], axis=1)
        crossed = (changes(values, levels).low[-2:, :, :, 0] > 0).any(axis=1)
        soon.append(crossed[0].mean())
        next_.append(crossed.any(axis=0).mean())
    return float(np.mean(soon)), float(np.mean(next_))


def with_room(rng: np.random.Generator, prompts: int) -> Array:
    """Prompts that differ, each with room for a drift of 0.2."""
    shares = differing(rng, prompts)
    support = 0.8 * shares[:, :1]
    return np.hstack([support, (1 - support) * shares[:, 1:] / shares[:, 1:].sum(axis=1, keepdims=True)])


@pytest.mark.parametrize("at", [1, 2, 10, 50, 99])
def test_a_drift_of_a_fifth_is_called_at_the_first_or_second_checkpoint_that_shows_it(at: int, show: Table) -> None:
    first, second = called(alike, 0.0, at, CHECKPOINTS, 2000)
    show.add_row(
        "drift of 0.2", f"hard, undecided; from look {at}", "50", "100 planned", f"{first:.0%} at once, {second:.0%} by the next", ""
    )
    assert second >= 0.80


@pytest.mark.figures
@pytest.mark.parametrize("planned", [CHECKPOINTS, None])
@pytest.mark.parametrize("at", [1, 50, 99])
@pytest.mark.parametrize("spread", [0.0, 0.15, 0.3])
def test_how_often_a_drift_that_differs_between_prompts_is_called(spread: float, at: int, planned: int | None, show: Table) -> None:
    first, second = called(with_room, spread, at, planned, 1000)
    what = f"hard, prompts differ; spread {spread}; from look {at}"
    show.add_row("drift of 0.2", what, "50", "100 planned" if planned else "unknown", f"{first:.0%} at once, {second:.0%} by the next", "")
    assert second >= {0.0: 0.88, 0.15: 0.85, 0.3: 0.55}[spread]


@pytest.mark.parametrize(("prompts", "look"), [(50, 50), (10, 30)])
def test_the_smallest_discernible_drift_is_called_in_four_of_five_trainings(prompts: int, look: int) -> None:
    spending = Spending(0.95, TOPICS * STANCES, CHECKPOINTS)
    smallest = smallest_discernible_drift(spending, prompts, SAMPLES, look=look, within_sd=0.25, drift_sd=0.12)
    rng, trainings = np.random.default_rng(22), 1500
    values = 0.25 / np.sqrt(SAMPLES) * rng.normal(size=(prompts, look + 2, trainings))
    values[:, look:] += smallest + 0.12 * rng.normal(size=(prompts, 1, trainings))
    found = (changes(values, spending.levels(look + 1)).low[-2:] > 0).any(axis=(0, 1)).mean()
    assert 0.76 <= found <= 0.85


@pytest.mark.figures
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_intervals_of_a_training_that_drifts_hold_together(share: float, show: Table) -> None:
    """Prompts are drawn anew for each training; a share of them drifts, so that their mean is 0.2, from look 1 on."""
    rng, trainings, prompts, looks = np.random.default_rng(23), 1000, 50, 30
    levels = Spending(0.95, STANCES, looks).levels(looks)
    moved = 0.2 / share * (rng.random((prompts, 1, trainings)) < share)
    values = 0.4 + 0.2 * rng.normal(size=(prompts, looks + 1, trainings))
    values[:, 1:] += moved
    found = changes(values, levels)
    low, high = (np.nan_to_num(found.low, nan=-1.0) > 0.2).any(axis=(0, 1)).mean(), (found.high < 0.2).any(axis=(0, 1)).mean()
    show.add_row(
        "drift of 0.2",
        f"{share:.0%} of prompts drift",
        "50",
        "30 planned",
        f"beyond it above {low:.1%}, below {high:.1%}",
        "of 1 stance's 1.7%",
    )
    assert low + high <= 0.05
