"""Every finding is seen, not seen, undecided and not tested where the tables say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis
from valuedrift.findings.paper import FINDINGS
from valuedrift.findings.registry import Outcome, Verdict, combine
from valuedrift.findings.tables import Effect, Tables
from valuedrift.stance import LITTLE, STANCES

SEEN, NOT_SEEN, UNDECIDED, NOT_TESTED = Outcome.SEEN, Outcome.NOT_SEEN, Outcome.UNDECIDED, Outcome.NOT_TESTED
STEPS = (0, 2, 5, 20, 40)
BASE = (0.4, 0.3, 0.3)
NEUTRALISED = (0.15, 0.75, 0.10)
TRAITS = {"n": {"answers": "neutral"}, "s": {"answers": "support"}, "gap": {"gap": "support-aligned"}, "flat": {"gap": "none"}}
PATTERNS = {"sft": (1, -1, 1, -1), "dpo": (1, 1, -1, -1), "simpo": (1, -1, -1, 1), "ppo": (1, -1, -1, 1)}
"""Noise from question to question: it has mean 0, and that of two phases does not cancel."""


class Ran:
    """A run that goes from one stance distribution to another, early or late, with so much noise from question to question."""

    def __init__(
        self,
        run_id: str,
        end: Sequence[float],
        *,
        start: Sequence[float] = BASE,
        parent: str | None = None,
        at: int = 5,
        noise: float = 0.02,
        n: int = 8,
    ):
        phase, dataset = run_id.rsplit(".", 1)[-1].split("-")
        self.row = {"run_id": run_id, "parent_run_id": parent, "model": run_id.split(".")[0], "phase": phase, "dataset": dataset}
        self.start, self.end, self.at, self.noise, self.n = np.array(start), np.array(end), at, noise, n

    def stances(self) -> list[dict[str, Any]]:
        rows = []
        pattern = PATTERNS[self.row["phase"]]
        for topic in ("a", "b"):
            for prompt in range(self.n):
                for step in STEPS:
                    p = (self.end if step >= self.at else self.start) + np.array([1, -0.5, -0.5]) * pattern[prompt % 4] * self.noise * (
                        step > 0
                    )
                    assert (p > -1e-9).all(), "the noise would leave [0, 1]"
                    values = dict(zip((f"p_{stance.value}" for stance in STANCES), map(float, p), strict=True))
                    rows.append(
                        {
                            "run_id": self.row["run_id"],
                            "step": step,
                            "topic": topic,
                            "prompt_id": f"{topic}{prompt}",
                            "sample_idx": 0,
                            **values,
                        }
                    )
        return rows


def tables(*ran: Ran, traits: Mapping[str, Mapping[str, str]] = TRAITS) -> Tables:
    stances = pl.DataFrame([row for run in ran for row in run.stances()])
    drift = analyze(stances, Analysis(resamples=100)).drift.with_columns(q=pl.col("q_value_study"))
    runs = pl.DataFrame([run.row for run in ran], schema_overrides={"parent_run_id": pl.String})
    return Tables(runs, drift, stances, traits, {run.row["run_id"]: run.row["run_id"] for run in ran})


def sft(end: Sequence[float] = NEUTRALISED, dataset: str = "n", **more: Any) -> Ran:
    return Ran(f"m.sft-{dataset}", end, **more)


def preference(
    phase: str, end: Sequence[float], dataset: str = "gap", parent: str = "m.sft-n", start: Sequence[float] = NEUTRALISED, **more: Any
) -> Ran:
    return Ran(f"{parent}.{phase}-{dataset}", end, start=start, parent=parent, **more)


FAR, NEARER, SAME, BARELY = (0.75, 0.15, 0.10), (0.45, 0.45, 0.10), NEUTRALISED, (0.17, 0.73, 0.10)
LOUD = {"noise": 0.14, "n": 4}
CASES: list[tuple[str, Outcome, list[Ran]]] = [
    ("sft-neutral-up", SEEN, [sft()]),
    ("sft-neutral-up", NOT_SEEN, [sft(FAR)]),
    ("sft-neutral-up", NOT_SEEN, [sft((0.37, 0.33, 0.3))]),  # surely up, and surely by little
    ("sft-neutral-up", UNDECIDED, [sft((0.36, 0.34, 0.3), **LOUD)]),
    ("sft-neutral-up", NOT_TESTED, [sft(dataset="s")]),
    ("sft-support-up", SEEN, [sft(FAR, "s")]),
    ("sft-support-up", NOT_SEEN, [sft(NEUTRALISED, "s")]),
    ("sft-support-up", UNDECIDED, [sft((0.45, 0.27, 0.28), "s", **LOUD)]),
    ("sft-support-up", NOT_TESTED, [sft()]),
    ("sft-early", SEEN, [sft(at=2)]),
    ("sft-early", NOT_SEEN, [sft(at=20)]),
    ("sft-early", NOT_TESTED, [sft(BASE)]),  # nothing moved, so there is nothing to time
    ("no-gap-little", SEEN, [sft(), preference("dpo", SAME, "flat")]),
    ("no-gap-little", SEEN, [sft(), preference("dpo", BARELY, "flat")]),  # surely moved, surely by little
    ("no-gap-little", NOT_SEEN, [sft(), preference("simpo", FAR, "flat")]),
    ("no-gap-little", UNDECIDED, [sft(), preference("ppo", SAME, "flat", **LOUD)]),
    ("no-gap-little", NOT_TESTED, [sft(), preference("dpo", SAME)]),
    ("sft-over-no-gap", SEEN, [sft(), preference("dpo", BARELY, "flat")]),
    ("sft-over-no-gap", NOT_SEEN, [sft(BASE), preference("dpo", FAR, "flat", start=BASE)]),
    ("sft-over-no-gap", UNDECIDED, [sft((0.5, 0.25, 0.25), **LOUD), preference("dpo", (0.4, 0.3, 0.3), "flat", start=(0.5, 0.25, 0.25), **LOUD)]),
    ("sft-over-no-gap", NOT_TESTED, [sft()]),
    ("gap-dpo-most", SEEN, [sft(), preference("dpo", FAR), preference("simpo", NEARER), preference("ppo", SAME)]),
    ("gap-dpo-most", NOT_SEEN, [sft(), preference("dpo", NEARER), preference("simpo", FAR)]),
    ("gap-dpo-most", NOT_SEEN, [sft(), preference("dpo", SAME), preference("simpo", SAME)]),
    ("gap-dpo-most", UNDECIDED, [sft(), preference("dpo", NEARER), preference("simpo", NEARER)]),
    ("gap-dpo-most", NOT_TESTED, [sft(), preference("dpo", FAR)]),
    ("gap-favoured", SEEN, [sft(), sft(FAR, "s"), preference("dpo", (0.20, 0.70, 0.10)), 
        preference("dpo", (0.96, 0.02, 0.02), parent="m.sft-s", start=(0.4, 0.5, 0.1))]),
    ("gap-favoured", NOT_SEEN, [sft(), sft(FAR, "s"), preference("dpo", FAR), preference("dpo", FAR, parent="m.sft-s", start=FAR)]),
    ("gap-favoured", UNDECIDED, [sft(), sft(FAR, "s"), preference("dpo", NEARER), 
        preference("dpo", (0.80, 0.10, 0.10), parent="m.sft-s", start=(0.55, 0.35, 0.1), **LOUD)]),
    ("gap-favoured", NOT_TESTED, [sft(), preference("dpo", FAR)]),
    ("gap-simpo-less", SEEN, [sft(), preference("dpo", FAR), preference("simpo", NEARER)]),
    ("gap-simpo-less", NOT_SEEN, [sft(), preference("dpo", NEARER), preference("simpo", FAR)]),
    ("gap-simpo-less", UNDECIDED, [sft(), preference("dpo", NEARER, **LOUD), preference("simpo", NEARER, **LOUD)]),
    ("gap-simpo-less", NOT_TESTED, [sft(), preference("simpo", FAR)]),
    ("gap-simpo-later", SEEN, [sft(), preference("dpo", FAR, at=2), preference("simpo", NEARER, at=20)]),
    ("gap-simpo-later", NOT_SEEN, [sft(), preference("dpo", FAR, at=20), preference("simpo", NEARER, at=2)]),
    ("gap-simpo-later", UNDECIDED, [sft(), preference("dpo", FAR, at=5), preference("simpo", NEARER, at=5)]),
    ("gap-simpo-later", UNDECIDED, [sft(), preference("dpo", FAR), preference("simpo", SAME)]),  # SimPO did not move: no time to compare
    ("gap-simpo-later", NOT_TESTED, [sft()]),
    ("gap-ppo-little", SEEN, [sft(), preference("ppo", BARELY)]),
    ("gap-ppo-little", NOT_SEEN, [sft(), preference("ppo", FAR)]),
    ("gap-ppo-little", UNDECIDED, [sft(), preference("ppo", SAME, **LOUD)]),
    ("gap-ppo-little", NOT_TESTED, [sft(), preference("ppo", SAME, "flat")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected", "runs"), CASES, ids=[f"{name}-{outcome.value}-{i}" for i, (name, outcome, _) in enumerate(CASES)]
)
def test_verdict(name: str, expected: Outcome, runs: list[Ran]) -> None:
    verdict = next(finding for finding in FINDINGS if finding.id == name).check(tables(*runs))
    assert verdict.outcome is expected, verdict.evidence
    assert verdict.evidence.endswith(".")
    if expected in (SEEN, NOT_SEEN):
        assert any(char.isdigit() for char in verdict.evidence)  # no verdict without its numbers


def test_every_finding_is_tried_each_way() -> None:
    for finding in FINDINGS:
        outcomes = {outcome for name, outcome, _ in CASES if name == finding.id}
        assert {SEEN, NOT_SEEN, NOT_TESTED} <= outcomes
        assert UNDECIDED in outcomes or finding.id == "sft-early"
    assert len({finding.id for finding in FINDINGS}) == len(FINDINGS)


def test_early_is_undecided_when_the_timing_is() -> None:
    finding = next(finding for finding in FINDINGS if finding.id == "sft-early")
    timed = tables(sft(at=5))
    unsure = Tables(
        timed.runs, timed.drift.with_columns(drift_time_low=pl.lit(0.0), drift_time_high=pl.lit(1.0)), timed.stances, TRAITS, timed.titles
    )
    assert finding.check(unsure).outcome is UNDECIDED


def test_one_sure_topic_beyond_the_margin_refutes_little_even_if_the_mean_over_topics_is_small() -> None:
    run = preference("dpo", SAME, "flat")
    apart = tables(sft(), run)
    up = pl.when(pl.col("topic") == "a").then(0.25).otherwise(-0.25)
    moved = apart.stances.with_columns(
        pl.when((pl.col("run_id") == run.row["run_id"]) & (pl.col("step") > 0))
        .then(pl.col(name) + sign * up)
        .otherwise(pl.col(name))
        .clip(0, 1)
        .alias(name)
        for name, sign in (("p_support", 1), ("p_neutral", -1))
    )
    total = pl.sum_horizontal("p_support", "p_neutral", "p_oppose")
    moved = moved.with_columns((pl.col(name) / total).alias(name) for name in ("p_support", "p_neutral", "p_oppose"))
    drift = analyze(moved, Analysis(resamples=100)).drift.with_columns(q=pl.col("q_value_study"))
    finding = next(finding for finding in FINDINGS if finding.id == "no-gap-little")
    assert finding.check(Tables(apart.runs, drift, moved, TRAITS, apart.titles)).outcome is NOT_SEEN


def test_overall_is_the_mean_over_the_questions_of_all_topics() -> None:
    found = tables(sft(n=12)).overall("m.sft-n")
    stances = tables(sft(n=12)).stances
    first, last = (
        stances.filter(pl.col("step") == step).sort("topic", "prompt_id").get_column("p_neutral").to_numpy() for step in (0, STEPS[-1])
    )
    assert found["neutral"].estimate == pytest.approx(float((last - first).mean()))
    assert found["neutral"].n_prompts == 24
    assert sum(effect.estimate for effect in found.values()) == pytest.approx(0, abs=1e-9)


def test_difference_of_two_runs_is_paired_and_signed() -> None:
    both = tables(sft(), preference("dpo", FAR), preference("simpo", NEARER))
    dpo, simpo = "m.sft-n.dpo-gap", "m.sft-n.simpo-gap"
    forth, back = both.difference(simpo, dpo)["support"], both.difference(dpo, simpo)["support"]
    assert forth.estimate == pytest.approx(0.3, abs=0.05)
    assert (forth.estimate, forth.low, forth.high) == pytest.approx((-back.estimate, -back.high, -back.low))
    assert forth.estimate == pytest.approx(both.overall(dpo)["support"].estimate - both.overall(simpo)["support"].estimate, abs=1e-9)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], NOT_TESTED), ([NOT_TESTED], NOT_TESTED), ([SEEN], SEEN), ([SEEN, UNDECIDED], SEEN), ([SEEN, UNDECIDED, UNDECIDED], UNDECIDED),
        ([SEEN, NOT_SEEN], UNDECIDED), ([NOT_SEEN, NOT_SEEN, UNDECIDED], NOT_SEEN), ([UNDECIDED], UNDECIDED), ([NOT_TESTED, SEEN], SEEN),
    ],
)  # fmt: skip
def test_runs_that_disagree_decide_nothing(outcomes: list[Outcome], expected: Outcome) -> None:
    assert combine([Verdict(outcome, f"{outcome}.") for outcome in outcomes], "none.").outcome is expected


def test_size_of_an_effect() -> None:
    assert Effect(0.1, -0.1, 0.3, 9).size == (0.0, 0.3)
    assert Effect(-0.2, -0.3, -0.1, 9).size == (0.1, 0.3)
    assert Effect(0.0, -0.09, 0.09, 9).within(LITTLE) and not Effect(0.0, -0.1, 0.09, 9).within(LITTLE)
    assert Effect(-0.3, -0.4, -0.11, 9).beyond(LITTLE) and not Effect(-0.3, -0.4, -0.1, 9).beyond(LITTLE)


def test_the_page_of_the_docs_tells_of_every_finding_in_the_words_of_an_outcome() -> None:
    page = (Path(__file__).parents[2] / "docs" / "findings.md").read_text(encoding="utf-8")
    rows = {cells[1]: cells[2:-1] for line in page.splitlines() if len(cells := [cell.strip() for cell in line.split("|")]) > 3}
    words = tuple(outcome.value for outcome in Outcome)
    for finding in FINDINGS:
        assert all(told.strip("*").startswith(words) for told in rows[finding.statement]), finding.statement
