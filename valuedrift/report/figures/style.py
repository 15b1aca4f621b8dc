"""Colours, markers and matplotlib settings: one look for every figure, the same on the page and in a paper.

Stances take Paul Tol's high-contrast triad (made for colour-blind readers and for print in grey), and a marker and a line style each,
so that no figure is read by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from valuedrift.stance import Stance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Look:
    """How one stance is drawn."""

    colour: str
    marker: str
    line: Any
    """Matplotlib's line style."""


LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        Stance.SUPPORT: Look("#004488", "o", "-"),
        Stance.NEUTRAL: Look("#ba8a1e", "s", (0, (5, 1.6))),
        Stance.OPPOSE: Look("#bb5566", "^", "-"),
    }
)
INK, MUTED, GRID, PAPER, BAND, UP, DOWN = "#1b2430", "#5a6675", "#dfe4ea", "#ffffff", "#eef1f5", "#1a8074", "#9a5b13"
CSS_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        LOOKS[Stance.SUPPORT].colour: "support", LOOKS[Stance.NEUTRAL].colour: "neutral", LOOKS[Stance.OPPOSE].colour: "oppose",
        INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper", BAND: "band", UP: "up", DOWN: "down",
    }
)  # fmt: skip
"""Colour to the page's CSS variable, so that inline figures follow light and dark mode."""
DIVERGING = (DOWN, "#f4f4f1", UP)
"""Down, nothing, up: brown to teal, told apart by colour-blind readers and not mistaken for a stance."""
_SETTINGS: Mapping[str, Any] = MappingProxyType(
    {
        "font.family": "DejaVu Sans", "font.size": 10.0, "axes.titlesize": 10.0, "axes.titlelocation": "left", "axes.labelsize": 9.5, "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED, "axes.labelcolor": MUTED, "axes.titlecolor": INK,
        "text.color": INK, "xtick.color": MUTED, "ytick.color": MUTED, "axes.linewidth": 0.8, "grid.color": GRID, "grid.linewidth": 0.8, "axes.axisbelow": True,
        "lines.linewidth": 1.8, "lines.markersize": 4.0, "legend.frameon": False, "legend.fontsize": 9.5, "svg.fonttype": "none", "svg.hashsalt": "valuedrift",
        "pdf.fonttype": 42, "text.parse_math": False, "path.simplify": False, "figure.dpi": 72.0, "axes.unicode_minus": True,
    }
)  # fmt: skip


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's settings for the time of a drawing; whatever the user had set before holds again afterwards."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(dict(_SETTINGS))  # type: ignore[arg-type]  # its keys are literals to mypy; a wrong one raises here
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many points, drawn by Agg without a window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), layout="constrained", facecolor="none")
    FigureCanvasAgg(figure)
    return figure


def new_panel(width: float, height: float, *, left: float = 26, bottom: float = 34) -> tuple[Figure, Axes]:
    """A figure with one axes at fixed margins (points), so that panels side by side line up and need no layout pass."""
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    return figure, figure.add_axes((left / width, bottom / height, (width - left - 6) / width, (height - bottom - 7) / height))


def step_axis(axes: Axes, steps: list[int], *, label: bool = True) -> None:
    """Give an axes a step axis on which early steps can be told apart: spaced by log(1 + step / first checkpoint), so that step 0 has its place.

    Args:
        axes: The axes, in its figure.
        steps: Checkpoint steps; they become the ticks, thinned where they would overlap.
        label: Whether to write ``training step`` under it.
    """
    import numpy as np

    wanted = sorted(set(steps)) or [0]
    unit = next((step for step in wanted if step > 0), 1)

    def place(step: Any) -> Any:
        return np.log1p(np.maximum(np.asarray(step) / unit, -0.999))  # matplotlib asks beyond the limits, too

    def back(value: Any) -> Any:
        return np.expm1(value) * unit

    axes.set_xscale("function", functions=(place, back))
    first, last = float(place(wanted[0])), float(place(wanted[-1]))
    pad = 0.04 * ((last - first) or 1.0)
    axes.set_xlim(float(back(first - pad)), float(back(last + pad)))
    points = axes.bbox.width / axes.get_figure(root=True).dpi * 72 / (last - first + 2 * pad)  # type: ignore[union-attr]  # an axes here has a figure
    kept = [wanted[-1]]
    for step in reversed(wanted[:-1]):
        room = _room(step, kept[-1])
        to_start = points * float(place(step) - first)
        if points * float(place(kept[-1]) - place(step)) > room and (step == wanted[0] or to_start > _room(step, wanted[0])):
            kept.append(step)
    axes.set_xticks(sorted(kept), [f"{step:,}" for step in sorted(kept)])
    axes.set_xticks([], minor=True)
    if label:
        axes.set_xlabel("training step")


def _room(one: int, other: int) -> float:
    """Points between two ticks that keeps their labels apart."""
    return 6.0 * (len(f"{one:,}") + len(f"{other:,}")) / 2 + 4.0


def frame_panel(axes: Axes) -> None:
    """Take away what carries no data: ticks' strokes, heavy axes; keep a light grid."""
    axes.grid(axis="y")
    axes.tick_params(length=0, pad=3)
    axes.spines["left"].set_visible(False)
