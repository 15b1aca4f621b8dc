"""Yes-saying over the steps of a run: agreement with the question as such, whichever way it is put."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from valuedrift.report.figures.style import INK, MUTED, PAPER, frame_panel, house_style, new_figure, new_panel, step_axis
from valuedrift.report.inputs import ReportInputs
from valuedrift.words import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def yes_saying(inputs: ReportInputs, run_id: str) -> pl.DataFrame:
    """Rows of table acquiescence of a run under the main judge: step, topic, acquiescence, low, high, n_pairs."""
    frame = inputs.acquiescence
    if not frame.height:
        return pl.DataFrame()
    frame = frame.filter(pl.col("run_id") == run_id)
    return (frame.filter(pl.col("judge") == inputs.main_judge) if "judge" in frame.columns else frame).sort("topic", "step")


def draw_yes_saying(axes: Axes, inputs: ReportInputs, run_id: str, topic: str) -> None:
    """Draw one run on one topic with its interval; zero is no yes-saying."""
    rows = yes_saying(inputs, run_id).filter(pl.col("topic") == topic)
    steps = rows.get_column("step").to_list()
    axes.axhline(0, color=MUTED, linewidth=0.8)
    banded = rows.drop_nulls(["low", "high"])
    axes.fill_between(
        banded.get_column("step").to_numpy(),
        banded.get_column("low").to_numpy(),
        banded.get_column("high").to_numpy(),
        color=INK,
        alpha=0.13,
        linewidth=0,
    )
    axes.plot(steps, rows.get_column("acquiescence").to_list(), color=INK, marker="o")
    axes.set_ylim(-1, 1)
    axes.set_yticks([-1, 0, 1], ["−1", "0", "+1"])
    frame_panel(axes)
    step_axis(axes, steps)


def yes_saying_panel(inputs: ReportInputs, run_id: str, topic: str) -> Figure:
    """One small panel for the page."""
    with house_style():
        figure, axes = new_panel(208, 124)
        draw_yes_saying(axes, inputs, run_id, topic)
    return figure


def yes_saying_figure(inputs: ReportInputs) -> Figure | None:
    """Runs down, topics across, for files; None where the probes have no for-and-against pairs."""
    runs = [run for run in inputs.lineage.runs if yes_saying(inputs, run.run_id).height]
    if not runs:
        return None
    with house_style():
        figure = new_figure(40 + 200 * len(inputs.topics), 130 * len(runs))
        figure.set_facecolor(PAPER)
        grid = figure.subplots(len(runs), len(inputs.topics), squeeze=False, sharey=True)
        for line, run in zip(grid, runs, strict=True):
            for axes, topic in zip(line, inputs.topics, strict=True):
                draw_yes_saying(axes, inputs, run.run_id, topic)
                axes.set_title(f"{run.title}: {visible(topic)}", fontsize=8.5)
    return figure
