"""The paper's findings over seeds: what one training shows and another doesn't is not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl
from made_study import NEUTRAL, TRAITS, Made

from valuedrift.drift.options import Analysis
from valuedrift.drift.seeds import over_seeds
from valuedrift.results.conclusions import findings_table
from valuedrift.results.facts import StudyFacts

SUPPORT, DPO, SIMPO = "smollm.sft-support", f"{NEUTRAL}.dpo-support-aligned", f"{NEUTRAL}.simpo-support-aligned"
FACTS = StudyFacts(
    study="demo",
    description="",
    judge="cross-encoder",
    auditor=None,
    panels={},
    traits=TRAITS,
    propositions={},
    confidence=0.95,
    seed=0,
    file="",
    fingerprint="",
)


def twice(made: Made, other: Mapping[str, str]) -> dict[str, str]:
    """Each run again under seed 1, with the answers of some run; and the findings, by name, over both."""
    frames, runs, groups = [], [], {}
    for run_id, answers in other.items():
        copy = f"{run_id}-seed1"
        groups |= {run_id: run_id, copy: run_id}
        own = made.stances.filter(run_id=run_id)
        frames += [own, made.stances.filter(run_id=answers).with_columns(run_id=pl.lit(copy))]
        row = made.runs.filter(run_id=run_id)
        parent = row["parent_run_id"][0]
        runs += [
            row,
            row.with_columns(run_id=pl.lit(copy), seed=pl.lit(1, pl.Int64), parent_run_id=pl.lit(parent and f"{parent}-seed1", pl.String)),
        ]
    stances = pl.concat(frames)
    seeds = over_seeds(stances, groups, Analysis())
    found = findings_table(FACTS, pl.concat(runs), made.drift, stances, None, (groups, seeds.drift))
    return {row["finding"]: f"{row['outcome']}: {row['evidence']} {row['more_evidence']}" for row in found.iter_rows(named=True)}


def test_what_only_one_seed_shows_is_undecided_and_what_both_show_is_seen(make_study: Callable[..., Made]) -> None:
    made = make_study()
    alone = {row["finding"]: row["outcome"] for row in made.findings.iter_rows(named=True)}
    assert alone["sft-neutral-up"] == "seen"
    apart = twice(made, {NEUTRAL: SUPPORT})
    assert apart["sft-neutral-up"].startswith("undecided: SFT neutral (2 seeds): neutral")
    same = twice(made, {NEUTRAL: NEUTRAL})
    assert same["sft-neutral-up"].startswith("seen: SFT neutral (2 seeds): neutral")


def test_runs_are_compared_seed_by_seed(make_study: Callable[..., Made]) -> None:
    made = make_study()
    same = twice(made, {NEUTRAL: NEUTRAL, DPO: DPO, SIMPO: SIMPO})
    assert same["gap-simpo-less"].startswith(
        "seen: SFT neutral → SimPO support-aligned (2 seeds) minus SFT neutral → DPO support-aligned (2 seeds)"
    )
    apart = twice(made, {NEUTRAL: NEUTRAL, DPO: SIMPO, SIMPO: DPO})
    assert apart["gap-simpo-less"].startswith("undecided: ")
