"""What people's labels change, on the page and in its short version: as the tables have it, and nothing where nobody labelled."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape

import numpy as np
import polars as pl
import pytest
from made_study import Made

from valuedrift.drift.corrected import corrected
from valuedrift.drift.options import Analysis
from valuedrift.judges.frames import judgements_of
from valuedrift.judges.quality.validation import validate
from valuedrift.report import build_markdown, build_report
from valuedrift.report.inputs import PeoplesLabels
from valuedrift.report.labels import labels_section
from valuedrift.results.conclusions import agreement_table
from valuedrift.stance import STANCE_COLUMNS, STANCES
from valuedrift.statistics.agreement import coded_agreement
from valuedrift.words import signed

HOSTILE = "<b>anna & co</b>"


@pytest.fixture(scope="module")
def inputs(make_study: Callable[..., Made]) -> Made:
    """A study of two topics; of one of them every answer at the ends is labelled, by people who see half of the support as neutral."""
    study = make_study(topics=("abortion", "religion"), runs=2)
    ends = study.stances.join(study.drift.select("run_id", step="from_step").unique(), on="run_id").filter(
        (pl.col("step") == pl.col("step_right")) | (pl.col("step") == pl.col("step").max().over("run_id"))
    )
    rows = ends.drop("step_right").filter((pl.col("topic") == "abortion") & (pl.col("status") == "ok"))
    rows = rows.join(
        study.responses.select("run_id", "step", "prompt_id", "sample_idx", "response"), on=["run_id", "step", "prompt_id", "sample_idx"]
    )
    verdict = rows.select(STANCE_COLUMNS).to_numpy().argmax(1)
    seen = np.where((verdict == 0) & (np.arange(len(verdict)) % 2 == 0), 1, verdict)
    said = pl.DataFrame(np.eye(3)[seen], schema=[f"said_{stance.value}" for stance in STANCES])
    labelled = pl.concat([rows, said], how="horizontal").with_columns(weight=1.0)
    found = corrected(study.stances, labelled, Analysis())
    labels = [STANCES[stance].value for stance in seen]
    validation = validate(judgements_of(rows), labels, rows["prompt_id"].to_list())
    both = coded_agreement(np.stack([seen[:30], np.where(np.arange(30) % 5, seen[:30], 2)], 1), np.arange(30), [HOSTILE, "ben"], 5)
    people = PeoplesLabels(
        corrected=found.drift,
        notes=["one cell is not corrected: too few"],
        labellers={HOSTILE: len(labels), "ben": 30},
        figures={"cross-encoder": validation.flat("cross-encoder", "labels")},
        agreement=agreement_table(both, "labellers"),
    )
    return replace(study, labels=people)


def test_judged_and_corrected_stand_side_by_side_largest_change_first(inputs: Made) -> None:
    section = labels_section(inputs)
    assert section is not None and inputs.labels is not None
    corrected_rows = inputs.labels.corrected
    assert section.total == len(section.rows) == corrected_rows.height
    titles = {run.run_id: run.title for run in inputs.lineage.runs}
    wanted = {
        (titles[row["run_id"]], row["topic"], row["stance"]): (signed(row["uncorrected_magnitude"]), signed(row["magnitude"]))
        for row in corrected_rows.iter_rows(named=True)
    }
    assert {(row.title, row.topic, row.stance): (row.judged, row.corrected) for row in section.rows} == wanted
    size = (corrected_rows["magnitude"] - corrected_rows["uncorrected_magnitude"]).abs().sort(descending=True)
    first = section.rows[0]
    key = (pl.col("topic") == first.topic) & (pl.col("stance") == first.stance) & (pl.col("run_id").replace(titles) == first.title)
    largest = corrected_rows.filter(key)
    assert abs(largest["magnitude"][0] - largest["uncorrected_magnitude"][0]) == pytest.approx(size[0])
    judged = {(row["run_id"], row["topic"], row["stance"]): row["magnitude"] for row in inputs.main_drift.iter_rows(named=True)}
    for row in corrected_rows.iter_rows(named=True):
        assert row["uncorrected_magnitude"] == pytest.approx(judged[row["run_id"], row["topic"], row["stance"]])


def test_it_says_who_labelled_who_agrees_and_what_falls(inputs: Made) -> None:
    section = labels_section(inputs)
    assert section is not None and inputs.labels is not None
    told = " ".join(section.sentences)
    found = inputs.labels.figures["cross-encoder"]
    assert f"{found['n']} answers labelled by people: {HOSTILE} ({found['n']}) and ben (30)." in told
    assert f"{100 * found['accuracy']:.0f}% [" in told and f"κ {found['kappa']:.2f} [" in told
    alpha = inputs.labels.agreement.filter(pl.col("measure") == "alpha")["value"].item()
    assert f"Krippendorff's α {alpha:.2f}" in told
    keys = ["run_id", "topic", "stance"]
    both = inputs.labels.corrected.select(*keys, after="q_value_study").join(inputs.main_drift.select(*keys, before="q"), on=keys)
    moved, stand = both.filter(pl.col("before") < 0.05).height, both.filter((pl.col("before") < 0.05) & (pl.col("after") < 0.05)).height
    assert f"Of {moved} drifts that moved by more than noise as judged, {stand} still do once corrected" in told
    assert "one cell is not corrected" in told


def test_the_page_and_the_markdown_show_it_and_escape_names(inputs: Made) -> None:
    page, short = build_report(inputs), build_markdown(inputs)
    section = page[page.index('<section id="labels">') :].split("</section>")[0]
    assert HOSTILE not in page and HOSTILE in unescape(re.sub(r"<[^>]+>", " ", section))
    assert page.index('id="table"') < page.index('<section id="labels">') < page.index('id="datasets"') and 'href="#labels"' in page
    assert "## What people's labels change" in short and "still do once corrected" in short and HOSTILE not in short
    assert "only the intervals there contain them" in unescape(page) and "labels draw" not in page


def test_without_labels_there_is_one_line_that_says_how(make_study: Callable[..., Made]) -> None:
    alone = make_study(topics=("religion",), runs=1)
    assert labels_section(alone) is None
    page, short = build_report(alone), build_markdown(alone)
    assert 'id="labels"' not in page and page.count("valuedrift labels draw") == 1
    assert "What people" not in short and "Judge beside judge" not in short


def test_labels_of_answers_that_the_judge_did_not_judge(inputs: Made) -> None:
    assert inputs.labels is not None
    nothing = replace(
        inputs.labels,
        corrected=inputs.labels.corrected.clear(),
        figures={},
        agreement=inputs.labels.agreement.clear(),
        notes=["nothing is labelled"],
    )
    section = labels_section(replace(inputs, labels=nothing))
    assert section is not None and section.rows == () and "none of these answers was judged" in section.sentences[0]
    assert (
        "nothing is labelled" in " ".join(section.sentences)
        and "<table" not in build_report(replace(inputs, labels=nothing)).split('id="labels"')[1].split("</section>")[0]
    )
