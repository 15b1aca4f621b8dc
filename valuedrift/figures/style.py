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
    """Give an axes a step axis on which the early steps can be told apart: step 0 has its place, later ones are spaced by log(1 + step).

    Args:
        axes: The axes.
        steps: Checkpoint steps; they become the ticks, thinned where they would overlap.
        label: Whether to write ``training step`` under it.
    """
    import numpy as np

    axes.set_xscale("function", functions=(np.log1p, np.expm1))
    wanted = sorted(set(steps)) or [0]
    last = wanted[-1] or 1
    kept = [wanted[-1]]
    for step in reversed(wanted[:-1]):
        if np.log1p(kept[-1]) - np.log1p(step) > 0.13 * np.log1p(last) and (step == 0 or np.log1p(step) > 0.13 * np.log1p(last)):
            kept.append(step)
    if wanted[0] == 0 and 0 not in kept:
        kept.append(0)
    axes.set_xticks(sorted(kept), [f"{step:,}" for step in sorted(kept)])
    axes.set_xticks([], minor=True)
    pad = 0.04 * float(np.log1p(last))
    axes.set_xlim(float(np.expm1(-pad)), float(np.expm1(np.log1p(last) + pad)))
    if label:
        axes.set_xlabel("training step")


def frame_panel(axes: Axes) -> None:
    """Take away what carries no data: ticks' strokes, heavy axes; keep a light grid."""
    axes.grid(axis="y")
    axes.tick_params(length=0, pad=3)
    axes.spines["left"].set_visible(False)
