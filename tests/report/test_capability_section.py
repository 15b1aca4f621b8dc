"""The report's section on abilities: beside the drift of each run, what it gained and lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from valuedrift.report import ReportInputs, build_report


def told(inputs: ReportInputs, **changed: Any) -> ReportInputs:
    """The study with one task put to its first run."""
    run_id = inputs.lineage.runs[0].run_id
    place = {"run_id": run_id, "task": "geo<b>", "subtask": "geo<b>", "metric": "acc"}
    scores = pl.DataFrame(
        [
            {**place, "step": step, "score": score, "standard_error": 0.04, "n_items": 100, "higher_is_better": True}
            for step, score in ((0, 0.7), (9, 0.5))
        ]
    )
    change: dict[str, Any] = {"from_step": 0, "to_step": 9, "score_from": 0.7, "score_to": 0.5, "change": -0.2, "change_low": -0.3}
    change |= {
        "change_high": -0.1,
        "p_value": 0.001,
        "q_value": 0.002,
        "n_items": 100,
        "n_gained": 3,
        "n_lost": 23,
        "higher_is_better": True,
    }
    tables = {"capabilities": scores, "capability_changes": pl.DataFrame([{**place, **change, **changed}])}
    return replace(inputs, read=lambda table: tables.get(table, pl.DataFrame()))


def test_a_lost_ability_stands_beside_the_drift_of_its_run(demo_inputs: ReportInputs) -> None:
    page = build_report(told(demo_inputs))
    assert '<a href="#capability">Abilities</a>' in page
    section = page[page.index('<section id="capability">') :].split("</section>")[0]
    assert "0.700" in section and "0.500" in section and "<b>−0.20</b>" in section and "worse" in section
    assert "3 right, 23 wrong of 100" in section and "1 of 1 score changed" in section and "drift" in section
    assert "geo<b>" not in section and "geo&lt;b&gt;" in section


@pytest.mark.parametrize(
    ("changed", "worse"), [({"higher_is_better": False}, False), ({"change": 0.2}, False), ({"q_value": 0.5}, False), ({}, True)]
)
def test_worse_is_what_moved_against_what_the_task_calls_better(demo_inputs: ReportInputs, changed: dict[str, Any], worse: bool) -> None:
    page = build_report(told(demo_inputs, **changed))
    assert (">worse<" in page) == worse


def test_a_study_without_tasks_has_no_such_section(demo_inputs: ReportInputs) -> None:
    assert "#capability" not in build_report(demo_inputs)
