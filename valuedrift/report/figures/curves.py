"""Small curves over the steps of a run: what the trainer reported, and yes-saying."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from valuedrift.report.figures.style import INK, MUTED, PAPER, frame_panel, house_style, new_figure, new_panel, step_axis
from valuedrift.report.inputs import ReportInputs
from valuedrift.words import visible

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


def held_out_losses(inputs: ReportInputs, run_id: str) -> pl.DataFrame:
    """Columns step and held_out_loss of a run's checkpoints, in order; empty where no rows are held out."""
    frame = inputs.checkpoints
    if "held_out_loss" not in frame.columns:
        return pl.DataFrame(schema={"step": pl.Int64, "held_out_loss": pl.Float64})
    mine = frame.filter((pl.col("run_id") == run_id) & pl.col("held_out_loss").is_not_null())
    return mine.select("step", "held_out_loss").sort("step")


def draw_training(axes: Axes, inputs: ReportInputs, run_id: str, measure: str) -> None:
    """Draw one measure of one run over its steps."""
    frame = inputs.training.filter((pl.col("run_id") == run_id) & pl.col(measure).is_not_null()).sort("step")
    steps = frame.get_column("step").to_list()
    axes.plot(steps, frame.get_column(measure).to_list(), color=INK, linewidth=1.3, marker="." if len(steps) < 8 else None)
    if measure == "loss" and (held := held_out_losses(inputs, run_id)).height:
        values = held.get_column("held_out_loss").to_list()
        axes.plot(held.get_column("step").to_list(), values, color=MUTED, linewidth=1.1, linestyle=":", marker="o", markerfacecolor=PAPER)
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
