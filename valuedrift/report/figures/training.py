"""What the trainer itself reported: loss, reward, KL to the reference, reward margin."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from valuedrift.report.figures.style import INK, PAPER, frame_panel, house_style, new_figure, new_panel, step_axis
from valuedrift.report.inputs import ReportInputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES: Mapping[str, str] = MappingProxyType(
    {"loss": "loss", "reward": "reward", "kl": "KL to the parent (nats)", "reward_margin": "reward margin"}
)
"""Columns of table training that are drawn, and what they are called."""


def measured(inputs: ReportInputs, run_id: str) -> list[str]:
    """The measures that a run reported at least once."""
    frame = inputs.training
    if not frame.height:
        return []
    mine = frame.filter(pl.col("run_id") == run_id)
    return [name for name in MEASURES if name in mine.columns and mine.get_column(name).is_not_null().any()]


def draw_training(axes: Axes, inputs: ReportInputs, run_id: str, measure: str) -> None:
    """Draw one measure of one run over its steps."""
    frame = inputs.training.filter((pl.col("run_id") == run_id) & pl.col(measure).is_not_null()).sort("step")
    steps = frame.get_column("step").to_list()
    axes.plot(steps, frame.get_column(measure).to_list(), color=INK, linewidth=1.3, marker="." if len(steps) < 8 else None)
    frame_panel(axes)
    axes.margins(y=0.12)
    saved = inputs.main_trajectory.filter(pl.col("run_id") == run_id).get_column("step").unique().to_list()
    step_axis(axes, saved or [steps[0], steps[-1]])
    axes.locator_params(axis="y", nbins=4)


def training_panel(inputs: ReportInputs, run_id: str, measure: str) -> Figure:
    """One small panel for the page."""
    with house_style():
        figure, axes = new_panel(208, 124, left=36)
        draw_training(axes, inputs, run_id, measure)
    return figure


def training_figure(inputs: ReportInputs) -> Figure | None:
    """All runs down, their measures across, for files; None where nothing was reported."""
    rows = [(run, measured(inputs, run.run_id)) for run in inputs.lineage.runs]
    rows = [(run, names) for run, names in rows if names]
    if not rows:
        return None
    across = max(len(names) for _, names in rows)
    with house_style():
        figure = new_figure(40 + 220 * across, 140 * len(rows))
        figure.set_facecolor(PAPER)
        grid = figure.subplots(len(rows), across, squeeze=False)
        for line, (run, names) in zip(grid, rows, strict=True):
            for place, axes in enumerate(line):
                if place >= len(names):
                    axes.set_axis_off()
                    continue
                draw_training(axes, inputs, run.run_id, names[place])
                axes.set_title(f"{run.title}: {MEASURES[names[place]]}" if place == 0 else MEASURES[names[place]], fontsize=8.5)
    return figure
