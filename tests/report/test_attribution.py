"""The rows that pushed most and against, on the page: those of the largest drift first, their text escaped; nothing where no run was attributed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from valuedrift.attribution.told import first_order
from valuedrift.report import ReportInputs, build_report
from valuedrift.report.attribution import MOST_ROWS, attribution_section


def reading(inputs: ReportInputs, tables: Mapping[str, pl.DataFrame]) -> ReportInputs:
    return replace(inputs, read=lambda table: tables.get(table, pl.DataFrame()))


def made(run_id: str) -> dict[str, pl.DataFrame]:
    """Eleven rows; the last is of another run, which the page does not tell of."""
    cell = {"run_id": run_id, "topic": "law", "method": "less"}
    scores = [
        {**cell, "stance": stance, "row_idx": at + 1, "score": sign * (at - 4) / 1000, "score_se": 0.0005, "row_topic": None}
        | {"prompt": f"<i>prompt</i> {at}", "answer": "<script>alert(1)</script>"}
        for stance, sign in (("support", 1), ("oppose", -1))
        for at in range(10)
    ]
    totals = [
        {
            **cell,
            "stance": stance,
            "drift": drift,
            "first_order": 0.005,
            "first_order_se": 0.001,
            "explained": share,
            "along_path": 0.1,
            "n_rows": 10,
        }
        for stance, drift, share in (("oppose", 0.1, 0.05), ("support", -0.3, None))
    ]
    other = {**scores[0], "run_id": "of an older plan"}
    return {"attributions": pl.DataFrame([*scores, other]), "attribution_totals": pl.DataFrame(totals)}


def test_rows_stand_by_their_score_beneath_the_largest_drift(demo_inputs: ReportInputs) -> None:
    found = attribution_section(reading(demo_inputs, made(demo_inputs.lineage.runs[0].run_id)))
    assert found is not None
    assert [cell.stance for cell in found.cells] == ["support", "oppose"]
    support = found.cells[0]
    assert [row.number for row in support.pushed] == [10, 9, 8, 7, 6][:MOST_ROWS]
    assert [row.number for row in support.against] == [1, 2, 3, 4]
    assert "%" not in support.sentence
    assert "5%" in found.cells[1].sentence


def test_a_sum_that_is_not_surely_one_is_no_share() -> None:
    sure = {"method": "less", "first_order": 0.105, "first_order_se": 0.021, "explained": 0.525}
    assert first_order(sure) == "+0.10 ± 0.021, 52% of the drift"
    assert first_order({**sure, "first_order_se": 0.06}) == "+0.10 ± 0.060, too uncertain to be a share of the drift"
    assert first_order({**sure, "first_order_se": None}) == "+0.10, too uncertain to be a share of the drift"
    assert first_order({**sure, "explained": None}) == "+0.10 ± 0.021"
    assert first_order({**sure, "method": "tracin", "first_order": -2.14e-6, "first_order_se": 1e-6}) == "−2.1e-06 ± 1.0e-06"


def test_the_page_escapes_the_rows(demo_inputs: ReportInputs) -> None:
    page = build_report(reading(demo_inputs, made(demo_inputs.lineage.runs[0].run_id)))
    assert '<a href="#attribution">' in page
    assert "<script>alert(1)" not in page
    assert "&lt;i&gt;prompt&lt;/i&gt; 9" in page
    assert 'id="attribution"' not in build_report(demo_inputs)
