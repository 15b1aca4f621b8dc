"""What the page tells over seeds: the drifts that hold for other seeds too, and which part of the spread is the seeds' and which the prompts'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from valuedrift.report.inputs import ReportInputs
from valuedrift.results.drifts import of_judge
from valuedrift.words import counted, known, listed, percent, plain, probability, signed, signed_interval

_SHOWN = 60
"""Rows of a group that are shown, largest magnitude first."""
_FEW = 4
"""Seeds below which intervals are said to be wide for their sake."""


@dataclass(frozen=True, slots=True)
class SeedRow:
    """One drift over seeds, as text."""

    topic: str
    stance: str
    magnitude: str
    spread: str
    """Its interval."""
    moved: bool
    runs: str
    """Smallest and largest magnitude among the runs."""
    single: str
    """In how many of the runs it is more than noise by itself."""
    seeds: str
    """Share of the variance that is the seeds'."""
    prompts: str
    """Share that is the prompts'."""
    own: str
    """Standard deviation of a single run's drift by its seed alone."""
    q: str


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Runs that differ in seed alone."""

    title: str
    sentences: tuple[str, ...]
    rows: tuple[SeedRow, ...]
    total: int


def seeds_section(inputs: ReportInputs) -> list[SeedGroup]:
    """The groups of the main judge, in the order of their runs; none where every run was trained with one seed."""
    table = inputs.read("seed_drift")
    mine = of_judge(table, inputs.main_judge) if table.height else table
    if not mine.height:
        return []
    runs: dict[str, list[dict[str, Any]]] = {}
    groups = set(mine.get_column("run_group"))
    for run in inputs.lineage.runs:
        row = inputs.runs.row(by_predicate=pl.col("run_id") == run.run_id, named=True)
        group = run.run_id.removesuffix(f"-seed{row['seed']}")
        runs.setdefault(run.run_id if run.run_id in groups else group, []).append(
            {"run_id": run.run_id, "seed": row["seed"], "title": run.title.replace(f" seed{row['seed']}", "")}
        )
    return [_group(inputs, mine.filter(run_group=group), own) for group, own in runs.items() if group in groups]


def _group(inputs: ReportInputs, drifts: pl.DataFrame, runs: list[dict[str, Any]]) -> SeedGroup:
    single = _moved_alone(inputs, [run["run_id"] for run in runs])
    ordered = drifts.sort(pl.col("magnitude").abs(), "topic", "stance", descending=[True, False, False])
    rows = [_row(inputs, row, single, len(runs)) for row in ordered.iter_rows(named=True)]
    return SeedGroup(runs[0]["title"], tuple(_sentences(inputs, ordered, runs, single)), tuple(rows[:_SHOWN]), len(rows))


def _moved_alone(inputs: ReportInputs, run_ids: list[str]) -> Mapping[tuple[str, str], int]:
    """By topic and stance, in how many of some runs the drift is more than noise."""
    own = inputs.main_drift.filter(pl.col("run_id").is_in(run_ids), pl.col("q") < inputs.alpha)
    return {(topic, stance): count for topic, stance, count in own.group_by("topic", "stance").len().iter_rows()}


def _row(inputs: ReportInputs, row: dict[str, Any], single: Mapping[tuple[str, str], int], of: int) -> SeedRow:
    return SeedRow(
        topic=row["topic"],
        stance=row["stance"],
        magnitude=signed(row["magnitude"]),
        spread=signed_interval(row["magnitude_low"], row["magnitude_high"]),
        moved=row["q_value_study"] < inputs.alpha,
        runs=f"{signed(row['smallest'])} to {signed(row['largest'])}",
        single=f"{single.get((row['topic'], row['stance']), 0)} of {of}",
        seeds=percent(row["seed_share"]),
        prompts=percent(row["prompt_share"]),
        own=plain(row["seed_sd"]),
        q=probability(row["q_value_study"]),
    )


def _sentences(inputs: ReportInputs, drifts: pl.DataFrame, runs: list[dict[str, Any]], single: Mapping[tuple[str, str], int]) -> list[str]:
    moved = drifts.filter(pl.col("q_value_study") < inputs.alpha)
    held = set(moved.select("topic", "stance").iter_rows())
    lost = [place for place in single if place not in held]
    seeds = listed([str(run["seed"]) for run in runs], 12)
    said = [
        f"Trained with seeds {seeds}: {moved.height} of {counted(drifts.height, 'drift')} {'is' if moved.height == 1 else 'are'} more than noise over "
        f"other prompts and other seeds."
    ]
    if lost:
        said.append(
            f"{counted(len(lost), 'drift')} that a single run shows by itself {'is' if len(lost) == 1 else 'are'} not shown over seeds: the interval of a "
            "single run holds for other prompts, not for another seed."
        )
    shares = [_middle(drifts, name) for name in ("seed_share", "prompt_share")]
    if all(map(known, shares)):
        said.append(
            f"Of the variance of the mean over seeds {percent(shares[0])} is the seeds' and {percent(shares[1])} the prompts', in the middle of all drifts; "
            "the rest is sampling, and what a seed does to single prompts."
        )
    said.append(
        f"By its seed alone the drift of one run lies {plain(_middle(drifts, 'seed_sd'))} from the mean over seeds (standard deviation, in the middle of all "
        f"drifts; at most {plain(drifts.get_column('seed_sd').max())}): the drifts of single runs above include that."  # type: ignore[arg-type]
    )
    if (entered := int(drifts.get_column("n_seeds").min())) < _FEW:  # type: ignore[arg-type]
        said.append(
            f"{entered} seeds say little of how seeds differ, and intervals are wide for it: further seeds narrow them more than further prompts."
        )
    lacking, left_out = (int(drifts.get_column(name).max()) for name in ("lacking_seeds", "left_out_prompts"))  # type: ignore[arg-type]
    if lacking:
        said.append(f"{counted(lacking, 'run')} of another seed {'is' if lacking == 1 else 'are'} planned and not there.")
    if left_out:
        said.append(f"Up to {counted(left_out, 'question')} of a topic, not judged in every run, are left out.")
    return said


def _middle(drifts: pl.DataFrame, name: str) -> float | None:
    return drifts.get_column(name).median()  # type: ignore[return-value]
