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


def test_a_drift_without_its_columns_is_said(frame: pl.DataFrame, drift: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="drift: missing column drift_time, q_value"):
        vd.plot.trajectory(frame, drift=drift.drop("drift_time", "q_value"))


@pytest.fixture(scope="module")
def moved(drift: pl.DataFrame) -> pl.DataFrame:
    """Drifts with intervals."""
    return drift.with_columns(magnitude_low=pl.col("magnitude") - 0.1, magnitude_high=pl.col("magnitude") + 0.1)


def test_drift_on_an_axis_fills_what_moved(moved: pl.DataFrame) -> None:
    axes = Figure().subplots()
    vd.plot.drift(moved, axes, topic="religion")
    points = [line for line in axes.get_lines() if line.get_marker() not in ("None", "")]
    filled = [line for line in points if line.get_markerfacecolor() == line.get_color()]
    assert len(points) == 6 and len(filled) == 1
    assert list(filled[0].get_xdata()) == [0.2] and filled[0].get_ydata()[0] == pytest.approx(1 - 0.24)  # support of run b, below run a
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b"]
    assert len(vd.plot.drift(moved).axes) == 2


def test_a_comparison_is_drawn_with_both_names(moved: pl.DataFrame) -> None:
    compared = moved.filter(run_id="b").with_columns(baseline_run_id=pl.lit("a"), baseline_study=pl.lit("s"))
    assert [text.get_text() for text in vd.plot.drift(compared).axes[0].get_yticklabels()] == ["b − a"]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({}, "2 topics for one axis.*'abortion' and 'religion'"),
        ({"topic": "cats"}, "no topic 'cats'"),
        ({"topic": "religion", "judge": "k"}, "nothing to draw"),
    ],
)
def test_what_an_axis_of_drift_cannot_hold_is_said(moved: pl.DataFrame, what: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        vd.plot.drift(moved, Figure().subplots(), **what)
    with pytest.raises(DataError, match="missing column magnitude_low"):
        vd.plot.drift(moved.drop("magnitude_low"))
    with pytest.raises(DataError, match="several studies"):
        vd.plot.drift(pl.concat([moved, moved.with_columns(study=pl.lit("t"))]))
