"""Drift magnitudes: with their intervals, one topic a panel, and all of them at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from valuedrift.errors import DataError
from valuedrift.report.figures.style import BAND, DIVERGING, INK, LOOKS, MUTED, PAPER, frame_panel, house_style, new_figure, new_panel
from valuedrift.report.inputs import ReportInputs
from valuedrift.results.drifts import broadest_q, of_judge, told_drifts
from valuedrift.stance import LITTLE, STANCES
from valuedrift.words import known, listed, signed, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _ROW = 362, 40
_LETTER, _LABEL = 5.2, 190
"""Points a letter of a run's name takes, and the most that all of them may take."""


def _limit(drift: pl.DataFrame) -> float:
    """Half-width of the magnitude axis, the same in every panel."""
    if not drift.height:
        return 0.5
    most = drift.select(
        pl.max_horizontal(pl.col("magnitude_low").abs().max(), pl.col("magnitude_high").abs().max(), pl.col("magnitude").abs().max())
    ).item()
    return float(min(1.0, max(0.25, 1.05 * most)))


def draw_forest(axes: Axes, drift: pl.DataFrame, names: Mapping[str, str], *, alpha: float, limit: float, labels: bool = True) -> None:
    """Draw one topic.

    Args:
        axes: Where to draw.
        drift: Rows of the table drift of one judge and topic, with ``q``.
        names: What each run is called at the left, by run_id, from top to bottom.
        alpha: Level of the tests: a stance with q below it moved.
        limit: Half-width of the axis of magnitudes.
        labels: Whether to write the runs' names at the left.
    """
    axes.axvspan(-LITTLE, LITTLE, color=BAND, linewidth=0, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    for place, run_id in enumerate(names):
        for offset, stance in zip((-0.24, 0.0, 0.24), STANCES, strict=True):
            rows = drift.filter((pl.col("run_id") == run_id) & (pl.col("stance") == stance.value))
            if not rows.height:
                continue
            row, look = rows.row(0, named=True), LOOKS[stance]
            moved = known(row["q"]) and row["q"] < alpha
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
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), list(names.values()) if labels else [""] * len(names))
    for text in axes.get_yticklabels():
        text.set_color(INK)
    axes.set_xlim(-limit, limit)
    axes.set_xlabel("drift magnitude")
    frame_panel(axes)
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")


def _names(inputs: ReportInputs) -> dict[str, str]:
    """The runs of a study as they are called at the left, by run_id: those that continue others with an arrow."""
    return {run.run_id: run.label if run.supervised else f"→ {run.label}" for run in inputs.lineage.runs}


def forest_panel(inputs: ReportInputs, topic: str) -> Figure:
    """One topic for the page."""
    names, drift = _names(inputs), inputs.main_drift
    with house_style():
        longest = max(map(len, names.values()), default=0)
        figure, axes = new_panel(_WIDTH, 46 + _ROW * max(1, len(names)), left=min(_LABEL, 14 + _LETTER * longest))
        draw_forest(axes, drift.filter(pl.col("topic") == topic), names, alpha=inputs.alpha, limit=_limit(drift))
    return figure


def forest_figure(inputs: ReportInputs) -> Figure:
    """All topics of a study side by side, for files."""
    return _forest(inputs.main_drift, _names(inputs), inputs.topics or ["(no topic)"], inputs.alpha)


def drift_figure(drift: pl.DataFrame, *, judge: str | None = None, alpha: float = 0.05) -> Figure:
    """A figure of the table drift alone: all topics side by side, runs down.

    Args:
        drift: Rows of the table, or of a comparison of runs: run_id, topic, stance, from_step, to_step, magnitude, magnitude_low, magnitude_high,
            q_value; ``judge`` where there are several.
        judge: Whose; by default the table's first.
        alpha: Level of the tests.

    Raises:
        DataError: A column is missing, no row is left, or several studies have runs of one name.
    """
    told = _told(drift, judge)
    return _forest(told, _as_called(told), told.get_column("topic").unique().sort().to_list(), alpha)


def drift_on(axes: Axes, drift: pl.DataFrame, *, topic: str | None = None, judge: str | None = None, alpha: float = 0.05) -> None:
    """Draw one topic of the table drift on an axes of any figure.

    Args:
        axes: Where to draw.
        drift: As for `drift_figure`.
        topic: The topic; may be left out where there is one.
        judge: Whose; by default the table's first.
        alpha: Level of the tests.

    Raises:
        DataError: As for `drift_figure`; or there is no such topic, or there are several.
    """
    told = _told(drift, judge)
    topics = told.get_column("topic").unique().sort().to_list()
    if topic not in topics if topic is not None else len(topics) > 1:
        what = f"no topic {topic!r}" if topic is not None else f"{len(topics)} topics for one axis"
        raise DataError(what, where="drift", fix=f"topic= one of {listed(list(map(repr, topics)))}")
    here = told.filter(pl.col("topic") == (topic or topics[0]))
    draw_forest(axes, here, _as_called(told), alpha=alpha, limit=_limit(here))


def _told(drift: pl.DataFrame, judge: str | None) -> pl.DataFrame:
    """The drifts of one judge that are drawn, with ``q``: of runs over their whole length, or of one run compared with another."""
    needed = ("run_id", "topic", "stance", "from_step", "to_step", "magnitude", "magnitude_low", "magnitude_high", "q_value")
    if missing := [name for name in needed if name not in drift.columns]:
        raise DataError(f"missing column {', '.join(missing)}", where="drift", fix=f"it has {', '.join(drift.columns)}")
    whose = judge if judge is not None or not drift.height or "judge" not in drift.columns else drift["judge"][0]
    compared = "baseline_run_id" in drift.columns and drift.get_column("baseline_run_id").is_not_null().all()
    told = of_judge(drift, whose).with_columns(q=pl.col(broadest_q(drift))) if compared else told_drifts(drift, whose)
    if not told.height:
        raise DataError("there is nothing to draw", where="drift", fix=f"judge {judge!r} has no rows" if judge else "it has no rows")
    if "study" in told.columns and told.select("study", "run_id").n_unique() > told.get_column("run_id").n_unique():
        studies = told.get_column("study").unique().sort().to_list()
        raise DataError("runs of one name in several studies", where="drift", fix=f"filter one study: {listed(studies)}")
    return told


def _as_called(told: pl.DataFrame) -> dict[str, str]:
    """The runs by their run_id; a comparison by both runs."""
    baseline = pl.col("baseline_run_id") if "baseline_run_id" in told.columns else pl.lit(None, dtype=pl.String)
    rows = told.select("run_id", baseline).unique().sort("run_id").iter_rows()
    return {run_id: visible(run_id if other is None else f"{run_id} − {other}") for run_id, other in rows}


def _forest(drift: pl.DataFrame, names: Mapping[str, str], topics: Sequence[str], alpha: float) -> Figure:
    """Topics side by side, further rows beyond four."""
    from matplotlib.lines import Line2D

    across = min(4, len(topics))
    down = -(-len(topics) // across)
    with house_style():
        figure = new_figure(150 + 230 * across, 40 + down * (60 + _ROW * max(1, len(names))))
        figure.set_facecolor(PAPER)
        grid = figure.subplots(down, across, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(topics):
                axes.set_axis_off()
                continue
            here = drift.filter(pl.col("topic") == topics[place])
            draw_forest(axes, here, names, alpha=alpha, limit=_limit(drift), labels=place % across == 0)
            axes.set_title(visible(topics[place]))
        lines = [Line2D([], [], color=LOOKS[s].colour, marker=LOOKS[s].marker, label=s.value) for s in STANCES]
        hollow = Line2D([], [], color=MUTED, marker="o", markerfacecolor=PAPER, linestyle="none", label=f"hollow: q ≥ {alpha:g}")
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
