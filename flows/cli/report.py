"""``valuedrift report``: the page that says what moved, when, and whether it is more than noise."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from valuedrift.flows.cli.app import ReportOption, RootOption, app, renamed, resolve_root
from valuedrift.flows.cli.console import make_console
from valuedrift.flows.cli.trace import StudyArgument


@app.command("report")
def report(
    study: StudyArgument,
    root: RootOption = None,
    report: ReportOption = None,
    out: Annotated[str | None, typer.Option("--out", hidden=True)] = None,
) -> None:
    """Write a study's report from its tables: one HTML file that opens anywhere, and the figures as PNG, SVG and PDF."""
    from valuedrift.storage.location import Location
    from valuedrift.storage.store import Store
    from valuedrift.tasks.reporting import rewrite_report
    from valuedrift.tasks.sources import study_of

    address = renamed(report, out, "--report", "--out")
    folder = Location.parse(address).reached() if address else None
    spec, store = study_of(study), Store(resolve_root(root))
    page = rewrite_report(store, spec, study, folder)
    make_console().print(escape(page.uri), soft_wrap=True, highlight=False)
