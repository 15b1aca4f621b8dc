"""Looking at a run of the paper's size after each of its checkpoints costs no more than analysing it once."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis
from valuedrift.drift.prompt_means import prompt_means
from valuedrift.watching.alerts import Alerts
from valuedrift.watching.looks import looks, looks_of

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]

STEPS, TOPICS, PROMPTS, SAMPLES = 101, 11, 50, 5


@pytest.fixture(scope="module")
def stances() -> pl.DataFrame:
    """One run of 100 checkpoints after its start, all 550 prompts: 280 thousand judged answers."""
    rng = np.random.default_rng(0)
    step, topic, prompt, sample = np.indices((STEPS, TOPICS, PROMPTS, SAMPLES)).reshape(4, -1)
    p = rng.dirichlet([1, 1, 1], len(step))
    frame = pl.DataFrame({"step": step, "topic": topic, "prompt_id": prompt, "sample_idx": sample})
    names = pl.format("topic {}", "topic").alias("topic"), pl.col("prompt_id").cast(pl.String), pl.lit("run").alias("run_id")
    return frame.with_columns(*names, p_support=p[:, 0], p_neutral=p[:, 1], p_oppose=p[:, 2])


def test_all_looks_cost_no_more_than_one_analysis(stances: pl.DataFrame) -> None:
    looks(stances, Alerts(), planned=STEPS - 1)  # levels are computed once a process
    means = prompt_means(stances.lazy())
    took = {}
    for name, call in {
        "looks from answers": lambda: looks(stances, Alerts(), planned=STEPS - 1),
        "looks from prompt means": lambda: looks_of(means, Alerts(), planned=STEPS - 1),
        "one analysis": lambda: analyze(stances, Analysis()),
    }.items():
        started = time.process_time()
        call()
        took[name] = time.process_time() - started
    print({name: f"{seconds:.2f} s" for name, seconds in took.items()})
    assert took["looks from answers"] < 1.5 * took["one analysis"]
    assert took["looks from prompt means"] < took["one analysis"] / 2
