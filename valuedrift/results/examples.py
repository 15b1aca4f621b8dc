"""Which answers a run is shown by: chosen by rules from the stances, never for their effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from valuedrift.fingerprint import seed_from
from valuedrift.lineage import trace_lineage
from valuedrift.results.drifts import of_judge, told_drifts
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus

MOST_MOVED, RANDOM = "most moved", "random"
MOST_RUNS = 24
"""Runs with examples; a larger study shows those that drifted furthest."""
_PLACE = ["run_id", "topic", "prompt_id"]
_MEANS = tuple(f"mean_{stance.value}" for stance in STANCES)
_EXAMPLES: dict[str, Any] = {
    **dict.fromkeys(("judge", "run_id", "rule"), pl.String),
    "step": pl.Int64,
    **dict.fromkeys(("topic", "prompt_id", "prompt"), pl.String),
    "sample_idx": pl.Int32,
    **dict.fromkeys(("response", "finish_reason", "status"), pl.String),
    **dict.fromkeys((*STANCE_COLUMNS, *_MEANS), pl.Float64),
    "n_ok": pl.Int64,
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A question that a run is shown by."""

    run_id: str
    rule: str
    topic: str
    prompt_id: str


def choose_examples(stances: pl.DataFrame, drift: pl.DataFrame, runs: pl.DataFrame, *, judge: str | None, seed: int) -> list[Chosen]:
    """The questions to show of each run: the one whose mean stance moved most (total variation), and one drawn by the seed, the same for every run.

    Args:
        stances: Table stances.
        drift: Table drift.
        runs: Table runs.
        judge: The main judge.
        seed: The study's seed.

    Returns:
        At most two a run, runs in the order of their lineage.
    """
    mine = of_judge(stances, judge)
    if not mine.height:
        return []
    step = pl.col("step")
    ends = mine.filter(pl.col("status") == JudgeStatus.OK.value).filter(
        (step == step.min().over("run_id")) | (step == step.max().over("run_id"))
    )
    means = ends.group_by(*_PLACE, "step").agg(pl.col(name).mean() for name in STANCE_COLUMNS).sort(*_PLACE, "step")
    moved = (
        means.group_by(_PLACE, maintain_order=True)
        .agg(
            *((pl.col(name).last() - pl.col(name).first()).abs().alias(name) for name in STANCE_COLUMNS),
            pl.len().alias("ends"),
        )
        .filter(pl.col("ends") == 2)
        .with_columns(distance=pl.sum_horizontal(STANCE_COLUMNS) / 2)
    )
    chosen = []
    for run_id in _furthest(runs, told_drifts(drift, judge)):
        here = moved.filter(pl.col("run_id") == run_id)
        if not here.height:
            continue
        far = here.sort("distance", "topic", "prompt_id", descending=[True, False, False]).row(0, named=True)
        chosen.append(Chosen(run_id, MOST_MOVED, far["topic"], far["prompt_id"]))
        questions = here.sort("topic", "prompt_id").select("topic", "prompt_id").rows()
        rest = [question for question in questions if question != (far["topic"], far["prompt_id"])]
        if rest:
            chosen.append(Chosen(run_id, RANDOM, *min(rest, key=lambda question: seed_from("example", seed, *question))))
    return chosen


def _furthest(runs: pl.DataFrame, drifts: pl.DataFrame) -> list[str]:
    names = [run.run_id for run in trace_lineage(runs).runs]
    if len(names) <= MOST_RUNS:
        return names
    ranked = list(dict.fromkeys([*drifts.get_column("run_id").to_list(), *names]))[:MOST_RUNS]
    return [name for name in names if name in ranked]


def examples_table(
    chosen: Sequence[Chosen], stances: pl.DataFrame, answers_to: Callable[[list[str]], pl.DataFrame], *, judge: str
) -> pl.DataFrame:
    """The chosen questions with their first sampled answer at the run's first and last checkpoint.

    Args:
        chosen: The questions.
        stances: Table stances.
        answers_to: The table responses for some prompt_ids, with their ``prompt``.
        judge: The main judge.

    Returns:
        The table examples; a question whose answers are not there at both ends is left out.
    """
    if not chosen:
        return pl.DataFrame(schema=_EXAMPLES)
    answers, judged = answers_to(sorted({one.prompt_id for one in chosen})), of_judge(stances, judge)
    rows: list[dict[str, Any]] = []
    for one in chosen:
        here = (pl.col("run_id") == one.run_id) & (pl.col("topic") == one.topic) & (pl.col("prompt_id") == one.prompt_id)
        steps = judged.filter(here).get_column("step").unique().sort()
        sides = list(_ends(answers.filter(here), judged.filter(here), (steps[0], steps[-1])))
        if len(sides) == 2:
            rows += [{"judge": judge, "run_id": one.run_id, "rule": one.rule, "topic": one.topic, **side} for side in sides]
    return pl.DataFrame(rows, schema=_EXAMPLES)


def _ends(answers: pl.DataFrame, judged: pl.DataFrame, steps: tuple[int, int]) -> Iterator[dict[str, Any]]:
    for step in steps:
        mine = judged.filter(pl.col("step") == step)
        both = answers.filter(pl.col("step") == step).join(mine.select("sample_idx", *STANCE_COLUMNS, "status"), on="sample_idx")
        if not both.height:
            return
        good = mine.filter(pl.col("status") == JudgeStatus.OK.value)
        shown = both.sort("sample_idx").row(0, named=True)
        means = {mean: good.get_column(name).mean() for mean, name in zip(_MEANS, STANCE_COLUMNS, strict=True)}
        yield {**{name: shown.get(name) for name in _EXAMPLES if name in shown}, **means, "n_ok": good.height}
