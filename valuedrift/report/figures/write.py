"""Figures as files for papers and slides, and as pieces of a page: no network, no metadata, colours and font that follow the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from valuedrift.errors import UserError
from valuedrift.report.figures.curves import training_figure, yes_saying_figure
from valuedrift.report.figures.magnitudes import forest_figure, heatmap_figure
from valuedrift.report.figures.style import CSS_VARIABLES, house_style
from valuedrift.report.figures.trajectory import topic_figure
from valuedrift.report.inputs import ReportInputs
from valuedrift.words import slug, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
"""What matplotlib would write into an SVG by itself; without it the same tables give the same bytes."""
_FONT = re.compile(r"font-family: [^;\"]*;? ?")
_NUMBER = re.compile(r"(?<![\w#.])-?\d+\.\d{3,}")
_COLOUR = re.compile("|".join(re.escape(colour) for colour in CSS_VARIABLES))
_USED = re.compile(r'href="#([^"]+)"|url\(#([^)]+)\)')
_LEVEL = re.compile(r' transform="rotate\(-?0 [^"]*\)"')


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """Turn a figure into an ``<svg>`` element.

    Args:
        figure: The figure; one point becomes one CSS pixel at most, less where the page is narrow.
        name: Prefix of all ids, unique on the page: letters, digits, hyphens.
        description: What it shows, for readers who do not see it; escaped here.

    Returns:
        The element. Text stays text, in the page's font.
    """
    buffer = io.StringIO()
    with house_style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's own font will have it: text stays text
        figure.savefig(buffer, format="svg", metadata=METADATA, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert box is not None  # matplotlib always writes one
    body = text[text.index(">") + 1 :]
    body = re.sub(r"<!--.*?-->|<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href=", "href=")
    used = {match[1] or match[2] for match in _USED.finditer(body)}
    body = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = _USED.sub(lambda m: f'href="#{name}-{m[1]}"' if m[1] else f"url(#{name}-{m[2]})", body)
    body = _LEVEL.sub("", _FONT.sub("", body))
    body = _COLOUR.sub(lambda m: f"var(--{CSS_VARIABLES[m[0]]})", body)
    body = _NUMBER.sub(lambda m: f"{float(m[0]):.2f}", body)
    body = re.sub(r"\s*\n\s*", " ", re.sub(r">\s+<", "><", body)).replace("<g/>", "")
    head = f'<svg viewBox="0 0 {box[1]} {box[2]}" role="img" aria-label="{escape(visible(description))}" style="max-width:{float(box[1]):.0f}px">'
    return head + body.strip()


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
