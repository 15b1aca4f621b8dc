"""The report's section over seeds: which part of the spread is the seeds', and which drifts of single runs are not shown over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl
from made_study import NEUTRAL, Made

from valuedrift.drift.options import Analysis
from valuedrift.drift.seeds import over_seeds
from valuedrift.report import ReportInputs, build_report
from valuedrift.report.markdown import build_markdown

OTHER = f"{NEUTRAL}-seed1"


def seeded(make_study: Callable[..., Made], **renamed: str) -> ReportInputs:
    """The study with two seeds of one training, which went apart; and its tables over seeds."""
    one = make_study(runs=6)
    names = {NEUTRAL: NEUTRAL, "smollm.sft-support": OTHER}
    stances = one.stances.filter(pl.col("run_id").is_in(list(names))).with_columns(pl.col("run_id").replace(names))
    runs = one.runs.filter(pl.col("run_id").is_in(list(names))).with_columns(
        pl.col("run_id").replace(names),
        dataset=pl.lit(renamed.get("dataset", "neutral")),
        seed=(pl.col("run_id") != NEUTRAL).cast(pl.Int64),
    )
    inputs = make_study(stances=stances, runs_table=runs, responses=one.responses.with_columns(pl.col("run_id").replace(names)))
    found = over_seeds(stances, dict.fromkeys([NEUTRAL, OTHER], NEUTRAL), Analysis())
    tables = {"seed_drift": found.drift, "seed_trajectory": found.trajectory}
    return replace(inputs, read=lambda table: tables.get(table, pl.DataFrame()))


def section(page: str) -> str:
    return page[page.index('<section id="seeds">') :].split("</section>")[0]


def test_it_says_which_part_of_the_spread_is_the_seeds_and_what_does_not_hold_over_them(make_study: Callable[..., Made]) -> None:
    inputs = seeded(make_study)
    page = build_report(inputs)
    assert '<a href="#seeds">Over seeds</a>' in page
    told = section(page)
    drifts = inputs.read("seed_drift")
    moved = drifts.filter(pl.col("q_value_study") < 0.05).height
    assert moved < 9 and f"Trained with seeds 0 and 1: {moved} of 9 drifts" in told and told.count("<b>") == moved
    assert "<h3>SFT neutral</h3>" in told
    assert "that a single run shows by itself are not shown over seeds" in told
    assert "Of the variance of the mean over seeds" in told and "the drifts of single runs above include that" in told
    assert "2 seeds say little of how seeds differ" in told
    table = drifts.filter(topic="abortion", stance="neutral").row(0, named=True)
    assert table["seed_share"] > 0.9 and f"{table['smallest']:+.2f}".replace("-", "−") in told
    assert "Over seeds: SFT neutral" in build_markdown(inputs)


def test_a_study_of_one_seed_has_no_such_section(demo_inputs: ReportInputs) -> None:
    assert '<section id="seeds">' not in build_report(demo_inputs) and "Over seeds" not in build_markdown(demo_inputs)


def test_names_in_it_are_escaped(make_study: Callable[..., Made]) -> None:
    told = section(build_report(seeded(make_study, dataset="neutral<b>")))
    assert "<b>" not in told.replace("<b>−", "").replace("<b>+", "") and "neutral&lt;b&gt;" in told
