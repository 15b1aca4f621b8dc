"""The report: one HTML file that answers first and shows how it knows, a short Markdown version, and the figures as files.

The names below are loaded when they are first used: matplotlib is heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from valuedrift.report.figures.trajectory import trajectory_figure
    from valuedrift.report.figures.write import write_figures
    from valuedrift.report.inputs import ReportInputs
    from valuedrift.report.markdown import build_markdown
    from valuedrift.report.page import build_report

__all__ = ["ReportInputs", "build_markdown", "build_report", "trajectory_figure", "write_figures"]

_HOMES = {
    "ReportInputs": "valuedrift.report.inputs",
    "build_markdown": "valuedrift.report.markdown",
    "build_report": "valuedrift.report.page",
    "trajectory_figure": "valuedrift.report.figures.trajectory",
    "write_figures": "valuedrift.report.figures.write",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
