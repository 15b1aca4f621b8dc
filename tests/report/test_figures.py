"""Figures are the same for the same tables, hold nothing but the study, and take any text as text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from made_study import Made

from valuedrift.errors import DataError, UserError
from valuedrift.report import trajectory_figure, write_figures
from valuedrift.report.figures.style import LOOKS, house_style, new_figure, step_axis
from valuedrift.report.figures.trajectory import trajectory_panel
from valuedrift.report.figures.write import inline_svg


@pytest.fixture(scope="module")
def small(make_study: Callable[..., Made]) -> Made:
    return make_study(topics=("immigration",), runs=2)


def test_files_are_whole_and_equal_when_drawn_again(make_study: Callable[..., Made], tmp_path: Path) -> None:
    small = make_study(topics=("immigration",), runs=1)
    first = write_figures(small, tmp_path / "a")
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "svg.hashsalt": None}):  # whatever the user has set
        second = write_figures(small, tmp_path / "deep" / "b", formats=("svg", "pdf"))
    names = {path.name for path in first}
    stems = ("trajectory-immigration", "drift-forest", "drift-heatmap", "training", "yes-saying")
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg", "pdf")}
    assert len(second) == 2 * len(stems)
    for path in second:
        assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes(), path.name
    assert (tmp_path / "a" / "training.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a" / "training.pdf").read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in (tmp_path / "a" / "training.pdf").read_bytes()


def test_svg_files_are_xml_with_text_as_text_and_the_stance_colours(small: Made, tmp_path: Path) -> None:
    for path in write_figures(small, tmp_path, formats=["svg"]):
        ET.fromstring(path.read_text())
    text = (tmp_path / "trajectory-immigration.svg").read_text()
    assert ">SFT neutral</text>" in text and "→ DPO support-aligned</text>" in text
    assert all(look.colour in text for look in LOOKS.values())
    assert "<dc:date>" not in text


def test_unknown_format(small: Made, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no figure format 'bmp'"):
        write_figures(small, tmp_path / "new", formats=["bmp"])
    assert not (tmp_path / "new").exists()


def test_a_study_without_drift_has_the_figures_it_can_have(make_study: Callable[..., Made], tmp_path: Path) -> None:
    inputs = make_study(one_step=True, topics=("religion",), runs=1, training=pl.DataFrame())
    assert [path.name for path in write_figures(inputs, tmp_path, formats=["svg"])] == ["trajectory-religion.svg"]
    empty = make_study(one_step=True, topics=("religion",), runs=1, training=pl.DataFrame(), trajectory=pl.DataFrame(), judge=None)
    assert write_figures(empty, tmp_path / "none", formats=["svg"]) == []


def test_topics_that_differ_in_signs_only_keep_a_file_each(make_study: Callable[..., Made], tmp_path: Path) -> None:
    inputs = make_study(topics=("religion",), runs=1)
    two = {
        name: pl.concat([frame, frame.with_columns(topic=pl.lit("Religion?"))])
        for name in ("trajectory", "drift")
        for frame in [getattr(inputs, name)]
    }
    names = [path.name for path in write_figures(make_study(topics=("religion",), runs=1, **two), tmp_path, formats=["svg"])]
    assert len(names) == len(set(names)) and "trajectory-religion-x.svg" in names


@pytest.mark.filterwarnings("ignore:Glyph")  # the sign for a NUL is in no font that files are drawn with
def test_markup_and_mathtext_in_names_are_drawn_as_they_are(make_study: Callable[..., Made], tmp_path: Path) -> None:
    inputs = make_study(topics=("religion",), runs=1)
    name = "a $\\frac{1$ <b>&\x00"
    runs = inputs.runs.with_columns(dataset=pl.lit(name))
    write_figures(make_study(topics=("religion",), runs=1, runs_table=runs), tmp_path, formats=["svg", "png"])
    text = (tmp_path / "trajectory-religion.svg").read_text()
    assert "SFT a $\\frac{1$ <b>&␀" in "".join(ET.fromstring(text).itertext())


def test_inline_svg_has_ids_of_its_own_and_the_pages_colours(small: Made) -> None:
    figure = trajectory_panel(small, "smollm.sft-neutral", "immigration")
    one, two = inline_svg(figure, "one", 'a "<b>'), inline_svg(figure, "two", "")
    root = ET.fromstring(one)
    assert root.get("aria-label") == 'a "<b>'
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert ids and all(name.startswith("one-") for name in ids) and not set(ids) & set(re.findall(r'id="([^"]+)"', two))
    assert "http" not in one and "#" not in re.sub(r'href="#[^"]+"|url\(#[^)]+\)', "", one)  # neither an address nor a fixed colour
    assert {"var(--support)", "var(--neutral)", "var(--oppose)"} <= set(re.findall(r"var\(--\w+\)", one))


def test_the_drawn_line_is_the_trajectory(small: Made) -> None:
    figure = trajectory_panel(small, "smollm.sft-neutral", "immigration")
    rows = small.main_trajectory.filter((pl.col("run_id") == "smollm.sft-neutral") & (pl.col("stance") == "neutral"))
    line = next(line for line in figure.axes[0].lines if line.get_color() == LOOKS["neutral"].colour)
    np.testing.assert_array_equal(line.get_xdata(), rows.get_column("step").to_numpy())
    np.testing.assert_array_equal(line.get_ydata(), rows.get_column("mean").to_numpy())
    assert figure.axes[0].get_ylim() == (0, 1)  # shared by all panels of a topic


def test_a_figure_can_be_drawn_from_a_trajectory_table_alone(small: Made, tmp_path: Path) -> None:
    figure = trajectory_figure(small.trajectory, interval="95% interval")
    names = [axes.get_title("left").split("\n") for axes in figure.axes]
    assert names == [[run, "immigration"] for run in small.trajectory["run_id"].unique(maintain_order=True)]
    rows = small.trajectory.filter((pl.col("run_id") == "smollm.sft-neutral") & (pl.col("stance") == "oppose")).sort("step")
    panel = next(axes for axes in figure.axes if axes.get_title("left").startswith("smollm.sft-neutral\n"))
    line = next(line for line in panel.lines if line.get_color() == LOOKS["oppose"].colour)
    np.testing.assert_array_equal(line.get_ydata(), rows["mean"].to_numpy())
    figure.savefig(tmp_path / "trajectory.svg")
    assert "95% interval" in (tmp_path / "trajectory.svg").read_text()
    with pytest.raises(DataError, match="judge 'nobody' has no rows"):
        trajectory_figure(small.trajectory, judge="nobody")
    with pytest.raises(DataError, match="missing column low"):
        trajectory_figure(small.trajectory.drop("low"))


@pytest.mark.parametrize("steps", [[0], [0, 1], [0, 1, 2, 3, 4, 6, 10, 16, 25, 40], list(range(0, 10001, 100)), [500, 1000, 1500]])
def test_steps_are_told_apart_and_ticks_do_not_overlap(steps: list[int]) -> None:
    with house_style():
        figure = new_figure(208, 150)
        axes = figure.add_subplot()
        step_axis(axes, steps)
        figure.draw_without_rendering()
    boxes = sorted((label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()), key=lambda box: box.x0)
    assert boxes
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    ticks = axes.get_xticks()
    assert set(ticks) <= set(steps) and steps[-1] in ticks
    if len(steps) > 1:
        first, second = axes.transData.transform([(steps[0], 0), (steps[1], 0)])[:, 0]
        assert second - first > 8  # points: the second checkpoint is not hidden by the first
