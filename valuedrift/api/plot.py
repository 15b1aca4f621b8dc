"""``vd.plot``: the report's figures from frames, on a matplotlib axis of one's own or as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from valuedrift.report.figures.magnitudes import drift_figure, drift_on
from valuedrift.report.figures.trajectory import trajectory_figure, trajectory_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["drift", "trajectory"]


def trajectory(
    frame: pl.DataFrame,
    ax: Axes | None = None,
    *,
    run: str | None = None,
    topic: str | None = None,
    judge: str | None = None,
    drift: pl.DataFrame | None = None,
    alpha: float = 0.05,
) -> Figure | SubFigure:
    """Draw how stances move over the steps of a run: a line a stance, its interval as a band.

    Args:
        frame: Rows of `Root.trajectory`, of `valuedrift.drift.analyze.analyze`, or of a file with its columns: run_id, step, topic, stance, mean, low, high;
            study and judge where there are several.
        ax: Where to draw, one run on one topic; its title, legend (``ax.legend()`` knows the stances) and style are yours. None: a figure of all runs of the
            frame and all its topics, in the report's style.
        run: The run_id; may be left out where the frame has one.
        topic: The topic; may be left out where the frame has one.
        judge: Whose stances; default: the frame's first judge.
        drift: Rows of `Root.drift`: a ring then marks the drift time of each stance that moved.
        alpha: Level of the test by which a stance moved (q-value).

    Returns:
        The figure that was drawn in.

    Raises:
        DataError: A column is missing, there is nothing to draw, or the frame has several runs, topics or studies where one can be drawn.
    """
    if ax is None:
        return trajectory_figure(frame, judge=judge, run=run, topic=topic, drift=drift, alpha=alpha)
    trajectory_on(ax, frame, run=run, topic=topic, judge=judge, drift=drift, alpha=alpha)
    return ax.figure


def drift(
    frame: pl.DataFrame, ax: Axes | None = None, *, topic: str | None = None, judge: str | None = None, alpha: float = 0.05
) -> Figure | SubFigure:
    """Draw how far each run moved each stance: a point and its interval a stance, hollow where it is not told from 0.

    Args:
        frame: Rows of `Root.drift`, of `Root.compare`, or of a file with their columns: run_id, topic, stance, from_step, to_step, magnitude, magnitude_low,
            magnitude_high, q_value; study and judge where there are several.
        ax: Where to draw, one topic. None: a figure of all topics of the frame, in the report's style.
        topic: The topic; may be left out where the frame has one.
        judge: Whose; default: the frame's first judge.
        alpha: Level of the test by which a stance moved (q-value).

    Returns:
        The figure that was drawn in.

    Raises:
        DataError: A column is missing, there is nothing to draw, or the frame has several topics or studies where one can be drawn.
    """
    if ax is None:
        return drift_figure(frame, judge=judge, alpha=alpha)
    drift_on(ax, frame, topic=topic, judge=judge, alpha=alpha)
    return ax.figure
