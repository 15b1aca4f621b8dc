"""All drift magnitudes of a study at a glance: runs down, topics across, one map a stance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from valuedrift.report.figures.style import DIVERGING, INK, MUTED, PAPER, house_style, new_figure
from valuedrift.report.inputs import ReportInputs
from valuedrift.stance import STANCES
from valuedrift.words import known, signed, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
