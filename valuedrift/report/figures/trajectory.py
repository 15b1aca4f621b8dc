"""The paper's figure: one line per stance with its interval, over the steps of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from valuedrift.errors import DataError
from valuedrift.lineage import Run
from valuedrift.report.figures.style import LOOKS, MUTED, PAPER, frame_panel, house_style, new_figure, new_panel, step_axis
from valuedrift.report.inputs import ReportInputs
from valuedrift.results.drifts import told_drifts
from valuedrift.stance import STANCES
from valuedrift.words import known, listed, visible

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PANEL = (208.0, 158.0)
"""Width and height of one panel on the page, in points."""
_PER_ROW = 4
_MARGIN, _COLUMN = 60, 190
"""Points: what stands left of the panels, and a column of them, in the figure for files."""


def draw_trajectory(axes: Axes, trajectory: pl.DataFrame, drift: pl.DataFrame | None = None, *, alpha: float = 0.05) -> None:
    """Draw one run on one topic: mean stance probabilities, interval bands, and a ring at the drift time of each stance that moved.

    Args:
        axes: Where to draw.
        trajectory: Rows of the table trajectory, of one judge, run and topic.
        drift: Those of the table drift, with ``q``; None draws no rings.
        alpha: Level of the tests: a stance with q below it moved.
    """
    drifts = {row["stance"]: row for row in drift.iter_rows(named=True)} if drift is not None else {}
    for stance in STANCES:
        rows = trajectory.filter(pl.col("stance") == stance.value).sort("step")
        if not rows.height:
            continue
        look = LOOKS[stance]
        steps, mean = rows.get_column("step").to_numpy(), rows.get_column("mean").to_numpy()
        low, high = rows.get_column("low").to_numpy(), rows.get_column("high").to_numpy()
        axes.fill_between(steps, low, high, color=look.colour, alpha=0.16, linewidth=0)
        if len(steps) == 1:
            axes.errorbar(steps, mean, yerr=[mean - low, high - mean], color=look.colour, elinewidth=1.2)
        axes.plot(steps, mean, color=look.colour, linestyle=look.line, marker=look.marker, markeredgewidth=0, label=stance.value)
        row = drifts.get(stance.value)
        if row and known(row["drift_time"]) and known(row["q"]) and row["q"] < alpha:
            at = row["from_step"] + row["drift_time"] * (row["to_step"] - row["from_step"])
            _ring(axes, steps.tolist(), mean.tolist(), at, look.colour)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    frame_panel(axes)
    step_axis(axes, trajectory.get_column("step").unique().to_list())


def _draw_run(axes: Axes, inputs: ReportInputs, run_id: str, topic: str) -> None:
    here = (pl.col("run_id") == run_id) & (pl.col("topic") == topic)
    draw_trajectory(axes, inputs.main_trajectory.filter(here), inputs.main_drift.filter(here), alpha=inputs.alpha)


def _ring(axes: Axes, steps: list[int], mean: list[float], at: float, colour: str) -> None:
    nearest = min(range(len(steps)), key=lambda i: abs(steps[i] - at))
    axes.plot(
        [steps[nearest]],
        [mean[nearest]],
        marker="o",
        linestyle="none",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=colour,
        markeredgewidth=1.4,
        zorder=5,
        clip_on=False,
    )


def trajectory_panel(inputs: ReportInputs, run_id: str, topic: str, *, size: tuple[float, float] = PANEL) -> Figure:
    """One panel for the page, so many points wide and high, whose title and key stand beside it in HTML."""
    with house_style():
        figure, axes = new_panel(*size)
        _draw_run(axes, inputs, run_id, topic)
    return figure


def trajectory_on(
    axes: Axes,
    trajectory: pl.DataFrame,
    *,
    run: str | None = None,
    topic: str | None = None,
    judge: str | None = None,
    drift: pl.DataFrame | None = None,
    alpha: float = 0.05,
) -> None:
    """Draw one run on one topic of the table trajectory on an axes of any figure.

    Args:
        axes: Where to draw.
        trajectory: As for `trajectory_figure`.
        run: The run_id; may be left out where there is one.
        topic: The topic; may be left out where there is one.
        judge: Whose; by default the table's first.
        drift: Rows of the table drift, for rings at the drift times; None draws none.
        alpha: Level of the tests.

    Raises:
        DataError: As for `trajectory_figure`; or there are several runs or topics.
    """
    mine = _of_one_judge(trajectory, judge, run_id=run, topic=topic)
    for name, option in (("run_id", "run"), ("topic", "topic")):
        values = mine.get_column(name).unique().sort().to_list()
        if len(values) > 1:
            raise DataError(
                f"{len(values)} values of {name} for one axis",
                where="trajectory",
                fix=f"name one with {option}=: {listed(list(map(repr, values)))}",
            )
    draw_trajectory(axes, mine, _told(drift, mine, mine["run_id"][0], mine["topic"][0]), alpha=alpha)


def _of_one_judge(trajectory: pl.DataFrame, judge: str | None, **wanted: str | None) -> pl.DataFrame:
    """The rows of one judge, of the runs and topics that are wanted.

    Raises:
        DataError: A column is missing, no row is left, or runs of several studies would be drawn as one.
    """
    _check_columns("trajectory", trajectory, ("run_id", "step", "topic", "stance", "mean", "low", "high"))
    mine = trajectory
    if "judge" in trajectory.columns and trajectory.height:
        mine = trajectory.filter(pl.col("judge") == (judge or trajectory["judge"][0]))
    if not mine.height:
        raise DataError("there is nothing to draw", where="trajectory", fix=f"judge {judge!r} has no rows" if judge else "it has no rows")
    for name, value in wanted.items():
        if value is not None:
            known, mine = mine.get_column(name), mine.filter(pl.col(name) == value)
            if not mine.height:
                raise DataError(
                    f"no {name} {value!r}", where="trajectory", fix=f"there are {listed(list(map(repr, known.unique().sort())))}"
                )
    if "study" in mine.columns and mine.select("study", "run_id").n_unique() > mine.get_column("run_id").n_unique():
        studies = mine.get_column("study").unique().sort().to_list()
        raise DataError("runs of one name in several studies", where="trajectory", fix=f"filter one study: {listed(studies)}")
    return mine


def _check_columns(table: str, frame: pl.DataFrame, columns: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in frame.columns]:
        raise DataError(f"missing column {', '.join(missing)}", where=table, fix=f"it has {', '.join(frame.columns)}")


def _told(drift: pl.DataFrame | None, mine: pl.DataFrame, run: str, topic: str) -> pl.DataFrame | None:
    """The drifts of one run and topic under the judge and in the study of the rows that are drawn."""
    if drift is None:
        return None
    _check_columns("drift", drift, ("run_id", "topic", "stance", "from_step", "to_step", "magnitude", "drift_time", "q_value"))
    here = drift
    if "study" in drift.columns and "study" in mine.columns:
        here = drift.filter(pl.col("study") == mine.filter(pl.col("run_id") == run)["study"][0])
    judge = mine["judge"][0] if "judge" in mine.columns else None
    return told_drifts(here, judge).filter((pl.col("run_id") == run) & (pl.col("topic") == topic))


def trajectory_figure(
    trajectory: pl.DataFrame,
    *,
    judge: str | None = None,
    interval: str = "interval",
    run: str | None = None,
    topic: str | None = None,
    drift: pl.DataFrame | None = None,
    alpha: float = 0.05,
) -> Figure:
    """A figure of the table trajectory alone: runs down, topics across, as they come in it.

    Args:
        trajectory: Rows of the table, from `valuedrift.drift.analyze.analyze`, SQL or a file: run_id, step, topic, stance, mean, low, high; ``judge``
            where there are several.
        judge: Whose; by default the table's first.
        interval: What to call the band, e.g. ``95% interval``.
        run: One run_id only.
        topic: One topic only.
        drift: Rows of the table drift, for rings at the drift times; None draws none.
        alpha: Level of the tests: a stance with q below it moved.

    Returns:
        A figure on a white ground; ``figure.savefig("trajectory.pdf")`` writes it.

    Raises:
        DataError: There are no rows, or none of this judge, run or topic; or a column is missing; or several studies have runs of one name.
    """
    mine = _of_one_judge(trajectory, judge, run_id=run, topic=topic)
    runs, topics = (mine.get_column(name).unique(maintain_order=True).to_list() for name in ("run_id", "topic"))
    with house_style():
        figure = new_figure(max(620.0, _MARGIN + _COLUMN * len(topics)), 46 + 158 * len(runs))
        figure.set_facecolor(PAPER)
        grid = figure.subplots(len(runs), len(topics), sharey=True, squeeze=False)
        for line, run_id in zip(grid, runs, strict=True):
            for place, (axes, about) in enumerate(zip(line, topics, strict=True)):
                here = mine.filter((pl.col("run_id") == run_id) & (pl.col("topic") == about))
                if here.height:
                    draw_trajectory(axes, here, _told(drift, mine, run_id, about), alpha=alpha)
                else:
                    axes.set_axis_off()
                name = "" if place else visible(str(run_id))  # above the first panel, over the others of its row
                axes.set_title(f"{name}\n{visible(str(about))}", fontsize=8.5)
            line[0].set_ylabel("mean stance probability")
        figure.legend(handles=[*_key(interval), *([_ring_key()] if drift is not None else [])], loc="outside upper right", ncols=5)
    return figure


def topic_figure(inputs: ReportInputs, topic: str) -> Figure:
    """The whole figure of one topic: a row a supervised run, on its left SFT, on its right each preference run that continues it.

    Args:
        inputs: The study.
        topic: The topic.

    Returns:
        A figure on a white ground, for files.
    """
    lineage = inputs.lineage
    rows: list[tuple[Run, list[Run], bool]] = []
    for root in lineage.roots():
        family = lineage.family(root)
        chunks = [family[i : i + _PER_ROW] for i in range(0, len(family), _PER_ROW)] or [[]]
        rows.extend((root, chunk, index == 0) for index, chunk in enumerate(chunks))
    most = max((len(chunk) for _, chunk, _ in rows), default=0)
    with house_style():
        figure = new_figure(_width(most), 78 + 158 * max(1, len(rows)))
        figure.set_facecolor(PAPER)
        top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[46, max(1, len(rows)) * 158]).flat
        _heading(top, inputs, topic, most)
        grid = bottom.subplots(max(1, len(rows)), 1 + most, sharey=True, squeeze=False)
        for line, (root, family, first) in zip(grid, rows, strict=False):
            panels: list[Run | None] = [root if first else None, *family]
            for axes, run in zip(line, panels + [None] * (1 + most - len(panels)), strict=True):
                if run is None:
                    axes.set_axis_off()
                    continue
                _draw_run(axes, inputs, run.run_id, topic)
                arrow = "" if run is root else "→ "
                title = run.title if run is root or run.parent_run_id != root.run_id else run.label
                axes.set_title(f"{arrow}{title}")
            line[0].set_ylabel("mean stance probability")
    return figure


def _width(most: int) -> float:
    return max(620.0, _MARGIN + _COLUMN * (1 + most))  # the legend wants its room


def _heading(figure: SubFigure, inputs: ReportInputs, topic: str, most: int) -> None:
    figure.text(0.01, 0.94, visible(topic[:1].upper() + topic[1:]), fontsize=13, fontweight="bold", va="top")
    width, left = _width(most), 36.0  # where constrained layout puts the first panel
    figure.text(left / width, 0.30, "SFT phase", fontsize=9, color=MUTED, va="top")
    if most:
        figure.text(
            (left + (width - left) / (1 + most)) / width,
            0.30,
            "preference phase: runs that continue the SFT run at the far left",
            fontsize=9,
            color=MUTED,
            va="top",
        )
    figure.legend(handles=[*_key(f"{100 * inputs.confidence:g}% interval"), _ring_key()], loc="upper right", ncols=5, borderaxespad=0.2)


def _key(interval: str) -> list[Artist]:
    """What the lines of the stances and their bands are."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    lines = [Line2D([], [], color=LOOKS[s].colour, linestyle=LOOKS[s].line, marker=LOOKS[s].marker, label=s.value) for s in STANCES]
    return [*lines, Patch(facecolor=MUTED, alpha=0.2, label=interval)]


def _ring_key() -> Artist:
    """What a ring on a line is."""
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], marker="o", markersize=8, markerfacecolor="none", markeredgecolor=MUTED, linestyle="none", label="drift time, where moved"
    )
