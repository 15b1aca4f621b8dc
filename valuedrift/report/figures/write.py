"""The figures as files, for papers and slides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from valuedrift.errors import UserError
from valuedrift.report.figures.acquiescence import yes_saying_figure
from valuedrift.report.figures.forest import forest_figure
from valuedrift.report.figures.heatmap import heatmap_figure
from valuedrift.report.figures.style import house_style
from valuedrift.report.figures.svg import METADATA
from valuedrift.report.figures.training import training_figure
from valuedrift.report.figures.trajectory import topic_figure
from valuedrift.report.inputs import ReportInputs
from valuedrift.words import slug

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAVE: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "png": {"dpi": 160, "metadata": {"Software": None}},
        "svg": {"metadata": METADATA},
        "pdf": {"metadata": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None}},
    }
)
"""What matplotlib would add by itself (dates, its version) is left out: the same tables give the same file."""


def write_figures(inputs: ReportInputs, folder: Path, formats: Sequence[str] = ("png", "svg", "pdf")) -> list[Path]:
    """Write every figure of a study that its tables can fill.

    Args:
        inputs: The study.
        folder: Where to; made if need be.
        formats: Of ``png``, ``svg``, ``pdf``.

    Returns:
        The files: ``trajectory-<topic>``, ``drift-forest``, ``drift-heatmap``, ``training``, ``yes-saying``, each in each format.

    Raises:
        UserError: A format that is not known.
    """
    for name in formats:
        if name not in _SAVE:
            raise UserError(f"no figure format {name!r}", where="figures", fix=f"one of {', '.join(_SAVE)}")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for stem, figure in _figures(inputs):
        with house_style():
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laid out once, not again for each format
        for name in formats:
            path = folder / f"{stem}.{name}"
            with house_style():
                figure.savefig(path, format=name, **_SAVE[name])
            written.append(path)
    return written


def _figures(inputs: ReportInputs) -> Iterator[tuple[str, Figure]]:
    taken: set[str] = set()
    for topic in inputs.topics:
        stem = f"trajectory-{slug(topic)}"
        while stem in taken:  # two topics may differ in signs only
            stem += "-x"
        taken.add(stem)
        yield stem, topic_figure(inputs, topic)
    if inputs.main_drift.height:
        yield "drift-forest", forest_figure(inputs)
        yield "drift-heatmap", heatmap_figure(inputs)
    for stem, figure in (("training", training_figure(inputs)), ("yes-saying", yes_saying_figure(inputs))):
        if figure is not None:
            yield stem, figure
