"""`vd.plot`: the report's own drawing, on an axis of anybody's."""

from __future__ import annotations

import matplotlib as mpl
import polars as pl
import pytest
from matplotlib.figure import Figure

import valuedrift as vd
from valuedrift.errors import DataError
from valuedrift.report.figures.trajectory import draw_trajectory
from valuedrift.stance import STANCES


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """Two runs, two topics, one judge."""
    rows = [
        {"study": "s", "judge": "j", "run_id": run, "topic": topic, "step": step, "stance": stance.value, "mean": 0.2 + 0.01 * place + step / 200,
         "low": 0.1, "high": 0.8, "n_prompts": 9}
        for run in ("a", "b") for topic in ("abortion", "religion") for step in (0, 4, 40) for place, stance in enumerate(STANCES)
    ]  # fmt: skip
    return pl.DataFrame(rows)


@pytest.fixture(scope="module")
def drift(frame: pl.DataFrame) -> pl.DataFrame:
    """Only support moved, and only in run b on religion."""
    keys = frame.select("study", "judge", "run_id", "topic", "stance").unique(maintain_order=True)
    moved = (pl.col("run_id") == "b") & (pl.col("topic") == "religion") & (pl.col("stance") == "support")
    return keys.with_columns(
        from_step=0, to_step=40, magnitude=0.2, drift_time=0.1, q_value=0.5, q_value_study=pl.when(moved).then(0.001).otherwise(0.9)
    )


def curves(axes: object) -> list[tuple[list[float], list[float], str]]:
    return [(list(line.get_xdata()), list(line.get_ydata()), line.get_color()) for line in axes.get_lines()]  # type: ignore[attr-defined]


def test_an_axis_of_ones_own_has_what_the_report_draws(frame: pl.DataFrame, drift: pl.DataFrame) -> None:
    with mpl.rc_context({"lines.linewidth": 7.0, "axes.titlesize": 20.0}):
        figure = Figure()
        mine, theirs = figure.subplots(1, 2)
        assert vd.plot.trajectory(frame, mine, run="b", topic="religion", drift=drift) is figure
        here = (pl.col("run_id") == "b") & (pl.col("topic") == "religion")
        draw_trajectory(theirs, frame.filter(here), drift.filter(here).with_columns(q="q_value_study"))
        assert mpl.rcParams["lines.linewidth"] == 7.0
    assert curves(mine) == curves(theirs) and len(curves(mine)) == 4  # three stances and a ring
    mine.set_title("mine")
    assert mine.get_legend_handles_labels()[1] == ["support", "neutral", "oppose"]
    assert mine.lines[0].get_linewidth() == 7.0  # the style is the user's


def test_without_an_axis_there_is_a_panel_a_run_and_topic(frame: pl.DataFrame, drift: pl.DataFrame) -> None:
    figure = vd.plot.trajectory(frame, drift=drift)
    assert [len(axes.get_lines()) for axes in figure.axes] == [3, 3, 3, 4]
    assert len(vd.plot.trajectory(frame, run="a").axes) == 2
    assert [line.get_label() for line in figure.legends[0].legend_handles][-1] == "drift time, where moved"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({}, "2 values of run_id for one axis.*run=: 'a' and 'b'"),
        ({"run": "a"}, "2 values of topic for one axis"),
        ({"run": "c", "topic": "religion"}, "no run_id 'c'.*'a' and 'b'"),
        ({"judge": "k"}, "nothing to draw.*'k'"),
    ],
)
def test_what_one_axis_cannot_hold_is_said(frame: pl.DataFrame, what: dict[str, str], message: str) -> None:
    axes = Figure().subplots()
    with pytest.raises(DataError, match=message):
        vd.plot.trajectory(frame, axes, **what)
    assert not axes.get_lines()


def test_runs_of_one_name_in_two_studies_are_not_drawn_as_one(frame: pl.DataFrame) -> None:
    both = pl.concat([frame, frame.with_columns(study=pl.lit("t"))])
    with pytest.raises(DataError, match=r"several studies.*s and t"):
        vd.plot.trajectory(both)
    assert vd.plot.trajectory(both.filter(study="t")).axes


def test_a_frame_without_its_columns_is_said(frame: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="missing column low, high"):
        vd.plot.trajectory(frame.drop("low", "high"))
