"""The loss on rows that are not learnt stands beside that of training."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
from made_study import Made

from valuedrift.report import build_report
from valuedrift.report.figures.curves import training_panel


def checkpoints(run_id: str) -> pl.DataFrame:
    """Checkpoints of one run with a loss on held-out rows."""
    return pl.DataFrame({"run_id": [run_id] * 3, "step": [0, 8, 64], "held_out_loss": [3.214, 2.5, 1.987]})


def test_the_page_tells_it_where_rows_are_held_out(make_study: Callable[..., Made]) -> None:
    plain = make_study(topics=("immigration",), runs=1)
    run = plain.runs.filter(pl.col("phase") == "sft")["run_id"][0]
    told = make_study(topics=("immigration",), runs=1, checkpoints=checkpoints(run))
    assert "held-out rows" not in build_report(plain)
    page = build_report(told)
    assert page.count("held-out rows") == 1
    assert "loss (rings: held-out rows, 3.21 → 1.99)" in page


def test_the_panel_draws_it(make_study: Callable[..., Made]) -> None:
    plain = make_study(topics=("immigration",), runs=1)
    run = plain.runs.filter(pl.col("phase") == "sft")["run_id"][0]
    (axes,) = training_panel(make_study(topics=("immigration",), runs=1, checkpoints=checkpoints(run)), run, "loss").axes
    assert [list(line.get_ydata()) for line in axes.lines if list(line.get_xdata()) == [0, 8, 64]] == [[3.214, 2.5, 1.987]]
    (axes,) = training_panel(plain, run, "loss").axes
    assert not [line for line in axes.lines if list(line.get_xdata()) == [0, 8, 64]]
