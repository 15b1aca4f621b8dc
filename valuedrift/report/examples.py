"""Example answers before and after, chosen by rules that are written beside them, so that none is picked for its effect."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from valuedrift.fingerprint import seed_from
from valuedrift.lineage import Run
from valuedrift.report.inputs import ReportInputs
from valuedrift.stance import STANCE_COLUMNS

MOST = "the question whose mean stance moved most in this run (total variation)"
RANDOM = "a question drawn at random by the study's seed, the same for every run"
MOST_RUNS = 24
"""Runs with examples; a larger study shows those that drifted furthest."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer at one checkpoint."""

    step: int
    response: str
    stance: tuple[float, float, float] | None
    """support, neutral, oppose of this answer; None where it could not be judged."""
    status: str
    mean: tuple[float, float, float] | None
    """… of all answers to this question here."""
    n_samples: int
    cut: bool
    """Whether this answer ended at the token limit."""


@dataclass(frozen=True, slots=True)
class Example:
    """One question before and after a run."""

    run: Run
    rule: str
    topic: str
    prompt_id: str
    prompt: str
    before: Shown
    after: Shown


def choose(inputs: ReportInputs) -> dict[str, list[tuple[str, str, str]]]:
    """Choose the questions to show, from the stances alone.

    Args:
        inputs: The study; ``responses`` is not read, so that it may hold only what is chosen here.

    Returns:
        Run to (rule, topic, prompt_id), at most two each, first the one that moved most.
    """
    stances = inputs.main_stances
    if not stances.height:
        return {}
    step = pl.col("step")
    ends = stances.filter(pl.col("status") == "ok").filter((step == step.min().over("run_id")) | (step == step.max().over("run_id")))
    means = (
        ends.group_by("run_id", "topic", "prompt_id", "step")
        .agg(pl.col(name).mean() for name in STANCE_COLUMNS)
        .sort("run_id", "topic", "prompt_id", "step")
    )
    moved = (
        means.group_by("run_id", "topic", "prompt_id", maintain_order=True)
        .agg((pl.col(name).last() - pl.col(name).first()).abs().alias(name) for name in STANCE_COLUMNS)
        .with_columns(distance=pl.sum_horizontal(STANCE_COLUMNS) / 2)
    )
    both = means.group_by("run_id", "topic", "prompt_id").agg(pl.len().alias("ends")).filter(pl.col("ends") == 2)
    moved = moved.join(both, on=["run_id", "topic", "prompt_id"], how="semi", maintain_order="left")
    chosen: dict[str, list[tuple[str, str, str]]] = {}
    for run_id in _furthest(inputs):
        mine = moved.filter(pl.col("run_id") == run_id)
        if not mine.height:
            continue
        far = mine.sort("distance", "topic", "prompt_id", descending=[True, False, False]).row(0, named=True)
        rest = [
            row
            for row in mine.sort("topic", "prompt_id").iter_rows(named=True)
            if row["prompt_id"] != far["prompt_id"] or row["topic"] != far["topic"]
        ]
        chosen[run_id] = [(MOST, far["topic"], far["prompt_id"])]
        if rest:
            drawn = min(rest, key=lambda row: seed_from("example", inputs.seed, row["topic"], row["prompt_id"]))
            chosen[run_id].append((RANDOM, drawn["topic"], drawn["prompt_id"]))
    return chosen


def _furthest(inputs: ReportInputs) -> list[str]:
    runs = [run.run_id for run in inputs.lineage.runs]
    if len(runs) <= MOST_RUNS:
        return runs
    ranked = list(dict.fromkeys([*inputs.main_drift.get_column("run_id").to_list(), *runs]))[:MOST_RUNS]
    return [run for run in runs if run in ranked]


def examples(inputs: ReportInputs) -> dict[str, list[Example]]:
    """The chosen questions with their first sampled answer at the run's first and last checkpoint.

    Args:
        inputs: The study.

    Returns:
        Run to its examples; a question whose answers are not among ``responses`` is left out.
    """
    found: dict[str, list[Example]] = {}
    for run_id, picks in choose(inputs).items():
        for rule, topic, prompt_id in picks:
            here = (pl.col("run_id") == run_id) & (pl.col("topic") == topic) & (pl.col("prompt_id") == prompt_id)
            answers = inputs.responses.filter(here).sort("step", "sample_idx")
            judged = inputs.main_stances.filter(here)
            steps = judged.get_column("step").unique().sort().to_list()
            sides = [_side(answers, judged, step) for step in (steps[0], steps[-1])]
            if sides[0] is None or sides[1] is None:
                continue
            prompt = answers.get_column("prompt")[0] if "prompt" in answers.columns else ""
            found.setdefault(run_id, []).append(
                Example(inputs.lineage[run_id], rule, topic, prompt_id, str(prompt or ""), sides[0], sides[1])
            )
    return found


def _side(answers: pl.DataFrame, judged: pl.DataFrame, step: int) -> Shown | None:
    texts, rows = answers.filter(pl.col("step") == step), judged.filter(pl.col("step") == step)
    if not texts.height:
        return None
    first = texts.row(0, named=True)
    mine = rows.filter(pl.col("sample_idx") == first["sample_idx"])
    row = mine.row(0, named=True) if mine.height else None
    good = rows.filter(pl.col("status") == "ok")
    return Shown(
        step=step,
        response=str(first["response"]),
        stance=_three(row) if row is not None and row["status"] == "ok" else None,
        status=str(row["status"]) if row is not None else "not judged",
        mean=_three({name: good.get_column(name).mean() for name in STANCE_COLUMNS}) if good.height else None,
        n_samples=good.height,
        cut=first.get("finish_reason") == "length",
    )


def _three(row: object) -> tuple[float, float, float]:
    values = [float(row[name]) for name in STANCE_COLUMNS]  # type: ignore[index]
    return (values[0], values[1], values[2])
