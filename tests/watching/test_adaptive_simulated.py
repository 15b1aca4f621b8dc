"""A quarter of the checkpoints tells what all of them tell: simulated runs of several shapes. Prints the table that docs/adaptive.md quotes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from made_stances import softmax
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from valuedrift.drift.options import Analysis
from valuedrift.drift.prompt_means import Cell
from valuedrift.drift.timing import drift_times
from valuedrift.statistics.intervals import mean_interval
from valuedrift.watching.adaptive import next_step

pytestmark = pytest.mark.slow

Array = NDArray[np.float64]
CHECKPOINTS, BUDGET, TOPICS, PROMPTS, SAMPLES = 40, 10, 3, 50, 5
RUNS = 75
"""Of each of the four shapes: 300 in all."""
OPTIONS = Analysis(resamples=300)
T = np.linspace(0, 1, CHECKPOINTS)


def early(rng: np.random.Generator, topics: int) -> list[Array]:
    """Most of the drift within the first fifth: exponential, a ramp or a jump."""
    kind, fast = rng.integers(3), rng.uniform(0.02, 0.1) * rng.uniform(0.8, 1.25, topics)
    return [[1 - np.exp(-T / one), np.minimum(1, T / (2 * one)), (1.5 * one <= T) * 1.0][kind] for one in fast]


def late(rng: np.random.Generator, topics: int) -> list[Array]:
    """In the second half: smooth, a ramp or a jump."""
    kind, width, centres = rng.integers(3), rng.uniform(0.02, 0.08), rng.uniform(0.5, 0.85) + rng.uniform(-0.03, 0.03, topics)
    return [
        [1 / (1 + np.exp(-(T - centre) / width)), np.clip((T - centre) / (4 * width) + 0.5, 0, 1), (centre <= T) * 1.0][kind]
        for centre in centres
    ]


def none(_: np.random.Generator, topics: int) -> list[Array]:
    """Nothing moves."""
    return [np.zeros(CHECKPOINTS)] * topics


def there_and_back(rng: np.random.Generator, topics: int) -> list[Array]:
    """A hump, after which up to a half of it is left."""
    width, left, centres = rng.uniform(0.12, 0.25), rng.uniform(0, 0.5), rng.uniform(0.2, 0.75) + rng.uniform(-0.03, 0.03, topics)
    curves = []
    for centre in centres:
        hump, start = np.exp(-(((T - centre) / width) ** 2) / 2), np.exp(-((centre / width) ** 2) / 2)
        curves.append(np.where(centre >= T, (hump - start) / (1 - start), left + (1 - left) * hump))
    return curves


Shape = Callable[[np.random.Generator, int], list[Array]]
SHAPES: tuple[Shape, ...] = (early, late, none, there_and_back)


def each_its_own(rng: np.random.Generator, topics: int) -> list[Array]:
    """Every topic has a shape and a time of its own."""
    return [SHAPES[rng.integers(len(SHAPES))](rng, 1)[0] for _ in range(topics)]


def made_run(rng: np.random.Generator, shape: Shape) -> list[Cell]:
    """Prompt means of a run's topics: prompts that differ, in level and in how far they go, and answers that scatter."""
    made = []
    for topic, curve in enumerate(shape(rng, TOPICS)):
        size = rng.uniform(0.8, 2.0) * rng.choice([-1, 1])
        level = rng.normal(size=(PROMPTS, 1, 1, 3)) + np.array([0.3, 0.6, 0.0]) * rng.normal(size=3)
        level = np.repeat(level, CHECKPOINTS, axis=1)
        level[..., rng.integers(3)] += size * (1 + 0.5 * rng.normal(size=(PROMPTS, 1, 1))) * curve[None, :, None]
        answers = softmax(1.5 * (level + 0.7 * rng.normal(size=(PROMPTS, CHECKPOINTS, SAMPLES, 3))))
        keys = {"study": "", "run_id": "run", "topic": f"topic{topic}"}
        made.append(Cell(keys, np.arange(CHECKPOINTS) * 10, tuple(map(str, range(PROMPTS))), answers.mean(axis=2)))
    return made


def at(cell: Cell, steps: Sequence[int]) -> Cell:
    kept = np.isin(cell.steps, steps)
    return Cell(cell.keys, cell.steps[kept], cell.prompts, np.ascontiguousarray(cell.values[:, kept]), cell.rounding)


def chosen(run: list[Cell]) -> list[int]:
    steps: list[int] = []
    while len(steps) < BUDGET:
        step = next_step([at(cell, steps) for cell in run] if steps else [], run[0].steps.tolist(), steps)
        assert step is not None and step not in steps
        steps.append(step)
    return steps


def evenly(run: list[Cell]) -> list[int]:
    return [int(run[0].steps[index]) for index in np.linspace(0, CHECKPOINTS - 1, BUDGET).round().astype(int)]


def largest(cell: Cell) -> tuple[Array, Array, Array]:
    """The largest change of each stance, with its interval."""
    change = mean_interval(cell.values - cell.values[:, :1], 0.95, bounds=(-1, 1))
    where = np.abs(change.estimate).argmax(axis=0), np.arange(3)
    return change.estimate[where], change.low[where], change.high[where]


def agreement(run: list[Cell], steps: list[int]) -> Array:
    """Whether magnitude, drift time and largest change agree, and whether some checkpoints leave untimed what all of them time. Shape (topics, stances, 4)."""
    told = []
    for cell in run:
        some = at(cell, steps)
        same = np.array_equal(some.values[:, -1] - some.values[:, 0], cell.values[:, -1] - cell.values[:, 0])
        (_, low, high), (found, _, _) = largest(cell), largest(some)
        for stance, (whole, part) in enumerate(zip(drift_times(cell, OPTIONS), drift_times(some, OPTIONS), strict=True)):
            timed = whole.value is part.value is None or (None not in (whole.value, part.value) and whole.low <= part.value <= whole.high)
            inside = whole.value is None or bool(low[stance] <= found[stance] <= high[stance])
            told.append((same, timed, inside, part.value is None and whole.value is not None))
    return np.array(told, dtype=float).reshape(len(run), 3, 4)


@pytest.fixture(scope="module")
def show() -> Iterator[list[tuple[str, ...]]]:
    rows: list[tuple[str, ...]] = []
    yield rows
    columns = (
        "shape",
        "checkpoints",
        "magnitude",
        "drift time",
        "largest change",
        "untimed",
        "time, all of a topic",
        "time, evenly spaced",
    )
    table = Table(*columns, title=f"{BUDGET} of {CHECKPOINTS} checkpoints against all, {RUNS} runs a shape × {TOPICS} topics × 3 stances")
    for row in rows:
        table.add_row(*row)
    Console(width=140, force_terminal=False).print(table)


@pytest.mark.parametrize(("shape", "least"), [*((shape, 0.9) for shape in SHAPES), (each_its_own, 0.8)])
def test_a_quarter_of_the_checkpoints_agrees_with_all(shape: Shape, least: float, show: list[tuple[str, ...]]) -> None:
    rng = np.random.default_rng(20)
    with threadpool_limits(limits=1):
        runs = [made_run(rng, shape) for _ in range(RUNS)]
        told = np.array([agreement(run, chosen(run)) for run in runs])
        even = np.array([agreement(run, evenly(run)) for run in runs])
    magnitude, timed, inside, untimed = told.mean(axis=(0, 1, 2))
    name = shape.__name__.replace("_", " ")
    shares = (magnitude, timed, inside, untimed, told[..., 1].all(axis=2).mean(), even[..., 1].mean())
    show.append((name, f"{BUDGET}/{CHECKPOINTS}", *(f"{100 * share:.1f}%" for share in shares)))
    assert magnitude == 1 and timed >= least and inside >= least
