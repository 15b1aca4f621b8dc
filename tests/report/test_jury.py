"""Several judges on one page: agreement as it is computed from the stances, and every judge's own drift beside the others'."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import polars as pl
import pytest
from made_study import Made
from sklearn.metrics import cohen_kappa_score

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis
from valuedrift.report.jury import jury
from valuedrift.report.markdown import build_markdown
from valuedrift.report.page import build_report
from valuedrift.stance import STANCE_COLUMNS
from valuedrift.words import signed

HOSTILE = "<b>mean & judge</b>"


@pytest.fixture(scope="module")
def inputs(make_study: Callable[..., Made]) -> Made:
    """A study whose second judge sees no support but neutrality in every third prompt, and a panel of both."""
    one = make_study(topics=("abortion", "religion"), runs=2)
    first = one.stances
    turned = pl.col("prompt_id").rank("dense") % 3 == 0
    support, neutral = pl.col("p_support"), pl.col("p_neutral")
    other = first.with_columns(
        pl.lit(HOSTILE).alias("judge"),
        pl.when(turned).then(neutral).otherwise(support).alias("p_support"),
        pl.when(turned).then(support).otherwise(neutral).alias("p_neutral"),
    )
    mean = first.with_columns(pl.lit("panel").alias("judge"), *((first[name] + other[name]) / 2 for name in STANCE_COLUMNS))
    stances = pl.concat([first, other, mean])
    found = analyze(stances, Analysis(resamples=200))
    return make_study(
        topics=("abortion", "religion"),
        runs=2,
        stances=stances,
        drift=found.drift,
        trajectory=found.trajectory,
        panels={"panel": ("cross-encoder", HOSTILE)},
    )


def test_agreement_is_of_the_judges_and_not_of_the_panel(inputs: Made) -> None:
    section = jury(inputs)
    assert section is not None
    assert section.judges == ("cross-encoder", HOSTILE, "panel")
    (pair,) = section.pairs
    ok = inputs.stances.filter(pl.col("status") == "ok").with_columns(verdict=pl.concat_list(STANCE_COLUMNS).list.arg_max())
    wide = ok.pivot("judge", index=["run_id", "step", "prompt_id", "sample_idx"], values="verdict")
    kappa = cohen_kappa_score(wide["cross-encoder"], wide[HOSTILE])
    assert pair.kappa.startswith(f"{kappa:.2f} [") and pair.n == f"{wide.height:,}"
    assert any("Krippendorff's α of all 2 judges" in sentence for sentence in section.sentences)


def test_every_judges_drift_stands_beside_the_others(inputs: Made) -> None:
    section = jury(inputs)
    assert section is not None and section.total == 2 * 2 * 3
    titles = {run.run_id: run.title for run in inputs.lineage.runs}
    shown = {(drift.title, drift.topic, drift.stance): drift.opinions for drift in section.drifts}
    for place, judge in enumerate(section.judges):
        for row in inputs.drift_of(judge).iter_rows(named=True):
            opinion = shown[titles[row["run_id"]], row["topic"], row["stance"]][place]
            assert opinion is not None and opinion.amount == signed(row["magnitude"]) and opinion.moved == (row["q"] < 0.05)


def test_the_page_shows_it_and_escapes_names(inputs: Made) -> None:
    page = build_report(inputs)
    section = page[page.index('<section id="judges">') :].split("</section>")[0]
    assert HOSTILE not in page and HOSTILE in unescape(re.sub(r"<[^>]+>", " ", section))
    assert "panel is the mean of cross-encoder" in section and "Krippendorff" in unescape(section)


def test_the_markdown_has_it_too(inputs: Made) -> None:
    section, short = jury(inputs), build_markdown(inputs)
    assert section is not None and HOSTILE not in short
    part = short[short.index("## Judge beside judge") :].split("\n## ")[0]
    assert section.pairs[0].n in part and section.pairs[0].same in part and "Krippendorff's α of all 2 judges" in part


def test_one_judge_has_no_such_section(make_study: Callable[..., Made]) -> None:
    alone = make_study(topics=("religion",), runs=1)
    assert jury(alone) is None
    assert 'id="judges"' not in build_report(alone)
