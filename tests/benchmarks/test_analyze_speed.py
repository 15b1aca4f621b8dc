"""`valuedrift analyze` at paper scale: a whole process against plain pandas, and its memory at many times that size.

The full fifty-fold size takes minutes; VALUEDRIFT_FULL_BENCHMARKS=1 runs it, otherwise eight-fold shows that memory does not grow with the data.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from rich.console import Console
from rich.table import Table

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]

RUNS, STEPS, TOPICS, PROMPTS, SAMPLES = 12, 40, 11, 50, 5
RESAMPLES, REFERENCE_RESAMPLES = 1000, 4
PROBABILITIES = ["p_support", "p_neutral", "p_oppose"]
COMMAND = "import valuedrift.flows.cli.analyze; from valuedrift.flows.cli.main import main; main()"
FOLD = 50 if os.environ.get("VALUEDRIFT_FULL_BENCHMARKS") else 8


@dataclass(frozen=True)
class Measured:
    """One process: wall and processor seconds, and the most memory it held."""

    wall: float
    processor: float
    gigabytes: float


@pytest.fixture(scope="module")
def stances(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 runs × 40 checkpoints × 550 prompts × 5 samples: 1.3 million judged answers."""
    rng = np.random.default_rng(0)
    shape = (RUNS, STEPS, TOPICS, PROMPTS, SAMPLES)
    run, step, topic, prompt, sample = np.indices(shape, dtype=np.int32).reshape(5, -1)
    scores = rng.normal(size=(1, 1, TOPICS, PROMPTS, 1, 3)) + 0.7 * rng.normal(size=(*shape, 3))
    scores[..., 0] += np.minimum(1, np.arange(STEPS) / 8)[None, :, None, None, None] * rng.normal(size=(RUNS, 1, TOPICS, 1, 1))
    p = np.exp(scores).reshape(-1, 3)
    p /= p.sum(axis=1, keepdims=True)
    frame = pl.DataFrame({"run": run, "step": step, "topic": topic, "prompt": prompt, "sample_idx": sample}).select(
        pl.format("run-{}", "run").alias("run_id"),
        pl.col("step").cast(pl.Int64) * 100,
        pl.format("topic {}", "topic").alias("topic"),
        pl.format("topic-{}-prompt-{}", "topic", "prompt").alias("prompt_id"),
        "sample_idx",
    )
    path = tmp_path_factory.mktemp("paper") / "stances.parquet"
    frame.with_columns(pl.Series(name, p[:, i]) for i, name in enumerate(PROBABILITIES)).write_parquet(path)
    return path


def process(*arguments: object) -> Measured:
    """Run the command line as a person does: a new interpreter, everything imported anew."""
    begun = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "analyze", *map(str, arguments)], stdout=subprocess.DEVNULL, cwd=Path(__file__).resolve().parents[2]
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return Measured(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20)


def deviations(means: pd.DataFrame, centre: pd.DataFrame, error: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The largest standardized deviation over the checkpoints of each run and topic."""
    scaled = ((means[columns] - centre[columns]) / error[columns]).abs().replace(np.inf, 0)
    return scaled.groupby(["run_id", "topic"]).max()


def pandas_reference(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, float, float]:
    """The same analysis in plain pandas: for every resample the prompts of each topic are drawn, joined and averaged.

    Returns:
        Mean probabilities of each run, topic and step; critical values of the drifts from the start from the few resamples that were run; wall and
        processor seconds for ``RESAMPLES`` of them.
    """
    keys = ["run_id", "topic", "step"]
    clocks = time.perf_counter, time.process_time
    begun = [clock() for clock in clocks]
    rows = pd.read_parquet(path)
    prompts = rows.groupby([*keys, "prompt_id"], as_index=False)[PROBABILITIES].mean()
    means = prompts.groupby(keys)[PROBABILITIES].mean()
    prompt_keys = ["run_id", "topic", "prompt_id"]
    start = prompts[prompts.step == prompts.step.min()].set_index(prompt_keys)[PROBABILITIES]
    farthest = (means - means.groupby(["run_id", "topic"]).transform("first")).abs().groupby(["run_id", "topic"]).idxmax()
    by_step = prompts.set_index([*prompt_keys, "step"])
    index = by_step.index
    for name in PROBABILITIES:
        at = farthest[name].str[2].reindex(index.droplevel(["prompt_id", "step"])).to_numpy()
        extremum = pd.MultiIndex.from_arrays([*(index.get_level_values(key) for key in prompt_keys), at])
        by_step[f"{name}_start"] = by_step[name].to_numpy() - start[name].reindex(index.droplevel("step")).to_numpy()
        by_step[f"{name}_end"] = by_step[name].reindex(extremum).to_numpy() - by_step[name].to_numpy()
    prompts = by_step.reset_index()
    moved = [column for column in prompts.columns if column.endswith(("_start", "_end"))]
    centre, error = prompts.groupby(keys)[moved].mean(), prompts.groupby(keys)[moved].sem()
    asked = prompts[["topic", "prompt_id"]].drop_duplicates()
    fixed = [clock() - before for clock, before in zip(clocks, begun, strict=True)]
    rng = np.random.default_rng(0)
    largest = []
    begun = [clock() for clock in clocks]
    for _ in range(REFERENCE_RESAMPLES):
        drawn = asked.groupby("topic").sample(frac=1, replace=True, random_state=rng)
        drawn_means = prompts.merge(drawn, on=["topic", "prompt_id"]).groupby(keys)[moved].mean()
        largest.append(deviations(drawn_means, centre, error, moved))
    loop = [clock() - before for clock, before in zip(clocks, begun, strict=True)]
    seconds = [once + many * RESAMPLES / REFERENCE_RESAMPLES for once, many in zip(fixed, loop, strict=True)]
    return means, pd.concat(largest), seconds[0], seconds[1]


def test_analyze_is_twenty_times_as_fast_as_plain_pandas_and_keeps_its_memory(stances: Path, tmp_path: Path) -> None:
    written = "--out", tmp_path / "drift.parquet", "--trajectory", tmp_path / "trajectory.parquet"
    # The best of eight, before and after: what else runs on the machine costs a process of two seconds more than one of a minute.
    tries = [process(stances, *written, "--resamples", RESAMPLES) for _ in range(4)]
    means, largest, wall, processor = pandas_reference(stances)
    tries += [process(stances, *written, "--resamples", RESAMPLES) for _ in range(4)]
    one = min(tries, key=lambda measured: measured.processor)
    assert largest.notna().all(axis=None)
    assert largest.to_numpy().mean() == pytest.approx(2.3, abs=0.8), "the reference standardizes as the analysis does"

    ours = (
        pl.read_parquet(tmp_path / "trajectory.parquet")
        .to_pandas()
        .pivot_table("mean", ["run_id", "topic", "step"], "stance", observed=True)
    )
    assert np.allclose(ours[["support", "neutral", "oppose"]].to_numpy(), means.sort_index().to_numpy(), atol=1e-12)

    for copy in range(FOLD):
        folder = tmp_path / "many" / f"study=s{copy:02d}"
        folder.mkdir(parents=True)
        (folder / "stances.parquet").hardlink_to(stances)
    many = process(tmp_path / "many", "--out", tmp_path / "many.parquet", "--resamples", RESAMPLES)
    rows = RUNS * STEPS * TOPICS * PROMPTS * SAMPLES
    assert pl.read_parquet(tmp_path / "many.parquet").height == FOLD * RUNS * TOPICS * 3

    table = Table("what", "answers", "wall s", "processor s", "peak GB", "times as fast", title=f"analyze, {RESAMPLES:,} resamples")
    table.add_row("analyze, whole process", f"{rows:,}", f"{one.wall:.1f}", f"{one.processor:.1f}", f"{one.gigabytes:.2f}", "")
    note = f"plain pandas, {REFERENCE_RESAMPLES} resamples scaled up"
    table.add_row(
        note, f"{rows:,}", f"{wall:.0f}", f"{processor:.0f}", "", f"{wall / one.wall:.0f}× wall, {processor / one.processor:.0f}× processor"
    )
    table.add_row(f"analyze, {FOLD}-fold", f"{rows * FOLD:,}", f"{many.wall:.0f}", f"{many.processor:.0f}", f"{many.gigabytes:.2f}", "")
    Console(width=130, force_terminal=False).print(table)
    # What else runs on the machine moves wall time by half; processor time is what can be compared.
    assert processor / one.processor >= 20
    assert many.gigabytes < 4
    assert many.gigabytes < 4 * one.gigabytes, "memory grows with the data"
