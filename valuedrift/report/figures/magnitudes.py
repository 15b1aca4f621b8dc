"""Drift magnitudes: with their intervals, one topic a panel, and all of them at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from valuedrift.report.figures.style import BAND, DIVERGING, INK, LOOKS, MUTED, PAPER, frame_panel, house_style, new_figure, new_panel
from valuedrift.report.inputs import ReportInputs
from valuedrift.stance import LITTLE, STANCES
from valuedrift.words import known, signed, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _ROW = 362, 40
_LETTER, _LABEL = 5.2, 190
"""Points a letter of a run's name takes, and the most that all of them may take."""


def _limit(inputs: ReportInputs) -> float:
    """Half-width of the magnitude axis, the same in every panel."""
    frame = inputs.main_drift
    if not frame.height:
        return 0.5
    most = frame.select(
        pl.max_horizontal(pl.col("magnitude_low").abs().max(), pl.col("magnitude_high").abs().max(), pl.col("magnitude").abs().max())
    ).item()
    return float(min(1.0, max(0.25, 1.05 * most)))


def draw_forest(axes: Axes, inputs: ReportInputs, topic: str, *, labels: bool = True) -> None:
    """Draw one topic.

    Args:
        axes: Where to draw.
        inputs: The study.
        topic: The topic.
        labels: Whether to write the runs' names at the left.
    """
    runs = inputs.lineage.runs
    frame = inputs.main_drift.filter(pl.col("topic") == topic)
    axes.axvspan(-LITTLE, LITTLE, color=BAND, linewidth=0, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    for place, run in enumerate(runs):
        for offset, stance in zip((-0.24, 0.0, 0.24), STANCES, strict=True):
            rows = frame.filter((pl.col("run_id") == run.run_id) & (pl.col("stance") == stance.value))
            if not rows.height:
                continue
            row, look = rows.row(0, named=True), LOOKS[stance]
            moved = known(row["q"]) and row["q"] < inputs.alpha
            if known(row["magnitude_low"]) and known(row["magnitude_high"]):
                axes.plot(
                    [row["magnitude_low"], row["magnitude_high"]],
                    [place + offset] * 2,
                    color=look.colour,
                    linewidth=1.5,
                    alpha=1.0 if moved else 0.45,
                )
            axes.plot(
                [row["magnitude"]],
                [place + offset],
                marker=look.marker,
                markersize=6,
                color=look.colour,
                markerfacecolor=look.colour if moved else PAPER,
                markeredgewidth=1.3,
            )
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.set_yticks(range(len(runs)), [_label(run.label, run.supervised) for run in runs] if labels else [""] * len(runs))
    for text in axes.get_yticklabels():
        text.set_color(INK)
    limit = _limit(inputs)
    axes.set_xlim(-limit, limit)
    axes.set_xlabel("drift magnitude")
    frame_panel(axes)
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")


def _label(label: str, supervised: bool) -> str:
    return label if supervised else f"→ {label}"


def forest_panel(inputs: ReportInputs, topic: str) -> Figure:
    """One topic for the page."""
    with house_style():
        longest = max((len(_label(run.label, run.supervised)) for run in inputs.lineage.runs), default=0)
        figure, axes = new_panel(_WIDTH, 46 + _ROW * max(1, len(inputs.lineage.runs)), left=min(_LABEL, 14 + _LETTER * longest))
        draw_forest(axes, inputs, topic)
    return figure


def forest_figure(inputs: ReportInputs) -> Figure:
    """All topics side by side, for files; further rows beyond four topics."""
    from matplotlib.lines import Line2D

    topics = inputs.topics or ["(no topic)"]
    across = min(4, len(topics))
    down = -(-len(topics) // across)
    with house_style():
        figure = new_figure(150 + 230 * across, 40 + down * (60 + _ROW * max(1, len(inputs.lineage.runs))))
        figure.set_facecolor(PAPER)
        grid = figure.subplots(down, across, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(topics):
                axes.set_axis_off()
                continue
            draw_forest(axes, inputs, topics[place], labels=place % across == 0)
            axes.set_title(visible(topics[place]))
        lines = [Line2D([], [], color=LOOKS[s].colour, marker=LOOKS[s].marker, label=s.value) for s in STANCES]
        hollow = Line2D([], [], color=MUTED, marker="o", markerfacecolor=PAPER, linestyle="none", label=f"hollow: q ≥ {inputs.alpha:g}")
        band = Line2D([], [], color=BAND, linewidth=8, label=f"little drift: within ±{LITTLE:.2f}")
        figure.legend(handles=[*lines, hollow, band], loc="outside upper right", ncols=5)
    return figure


_CELL = (64, 34)
FULL = 0.4
"""Magnitude that is drawn in full colour, if no larger one is: the largest reported drift of SFT is 0.38."""


def heatmap_figure(inputs: ReportInputs) -> Figure:
    """The map for files: bold where q is below the level of the tests, grey where it is not.

    Args:
        inputs: The study.

    Returns:
        A figure on a white ground.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    runs, topics = inputs.lineage.runs, inputs.topics
    cells = {(row["run_id"], row["topic"], row["stance"]): row for row in inputs.main_drift.iter_rows(named=True)}
    colours = LinearSegmentedColormap.from_list("drift", DIVERGING)
    limit = max(FULL, float(inputs.main_drift.select(pl.col("magnitude").abs().max()).item() or 0.0))
    with house_style():
        figure = new_figure(210 + 3 * (_CELL[0] * max(1, len(topics)) + 20), 120 + _CELL[1] * max(1, len(runs)))
        figure.set_facecolor(PAPER)
        grid = figure.subplots(1, 3, sharey=True)
        for axes, stance in zip(grid, STANCES, strict=True):
            values = np.array([[_magnitude(cells.get((run.run_id, topic, stance.value))) for topic in topics] for run in runs]).reshape(
                len(runs), len(topics)
            )
            if values.size:
                axes.imshow(values, cmap=colours, vmin=-limit, vmax=limit, aspect="auto")
            for i, run in enumerate(runs):
                for j, topic in enumerate(topics):
                    row = cells.get((run.run_id, topic, stance.value))
                    if row is None:
                        continue
                    moved = known(row["q"]) and row["q"] < inputs.alpha
                    dark = abs(row["magnitude"]) > 0.7 * limit
                    colour = PAPER if dark else INK if moved else MUTED
                    axes.text(
                        j,
                        i,
                        signed(row["magnitude"]),
                        ha="center",
                        va="center",
                        fontsize=8,
                        fontweight="bold" if moved else "normal",
                        color=colour,
                    )
            axes.set_title(stance.value)
            axes.set_xticks(range(len(topics)), [visible(topic) for topic in topics], rotation=35, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(runs)), [run.label if run.supervised else f"→ {run.label}" for run in runs])
            axes.tick_params(length=0)
            for spine in axes.spines.values():
                spine.set_visible(False)
        scale = ScalarMappable(Normalize(-limit, limit), colours)
        figure.colorbar(scale, ax=grid, label=f"drift magnitude (bold: q < {inputs.alpha:g})", fraction=0.03, pad=0.01)
    return figure


def _magnitude(row: dict[str, float] | None) -> float:
    return float("nan") if row is None else row["magnitude"]
