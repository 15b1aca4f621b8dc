"""``valuedrift report``: the page that says what moved, when, and whether it is more than noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from valuedrift.flows.cli.app import ReportOption, RootOption, app, renamed, resolve_root
from valuedrift.flows.cli.console import make_console
from valuedrift.flows.cli.drift_table import drift_table

if TYPE_CHECKING:
    from rich.console import Console

    from valuedrift.storage.location import Location


@app.command("report")
def report(
    study: Annotated[
        str,
        typer.Argument(
            help="Study file, local or s3://; or the name of a study whose stances were imported (valuedrift tables import).",
            show_default=False,
        ),
    ],
    root: RootOption = None,
    report: ReportOption = None,
    out: Annotated[str | None, typer.Option("--out", hidden=True)] = None,
) -> None:
    """Write a study's report from its tables: one HTML file that opens anywhere, and the figures as PNG, SVG and PDF.

    Of stances that were imported it makes the analysis too, where it is not there yet: trajectory, drift, and all that a report tells.
    """
    from valuedrift.storage.location import Location
    from valuedrift.storage.store import Store

    address = renamed(report, out, "--report", "--out")
    folder = Location.parse(address).reached() if address else None
    console = make_console()
    store = Store(resolve_root(root))
    if _is_file(study):
        from valuedrift.tasks.reporting import rewrite_report
        from valuedrift.tasks.sources import study_of

        spec = study_of(study)
        page = rewrite_report(store.readable(), spec, study, folder)
    else:
        store.readable()
        page = _report_of_given(study, resolve_root(root), folder, console)
    console.print(escape(page.uri), soft_wrap=True, highlight=False)


def _is_file(study: str) -> bool:
    """Whether a study is given by its file, not by its name."""
    return study.endswith((".yaml", ".yml")) or "/" in study or Path(study).is_file()


def _report_of_given(study: str, root: str, folder: Location | None, console: Console) -> Location:
    """Do what is not done yet of a study of which only stances were given; show its drift."""
    from valuedrift.tasks.once import once_each
    from valuedrift.tasks.reporting import PAGE
    from valuedrift.tasks.stages.given import GivenWork, stages_of_given
    from valuedrift.tasks.stages.report import folder_of_report

    work = GivenWork(study, root, folder.uri if folder else None)
    try:
        once_each(work, stages_of_given(work))
    finally:
        work.close()
    console.print(drift_table(work.store.read("drift", study=study, judge=work.facts.judge), alpha=work.analysis.alpha))
    return folder_of_report(work) / PAGE
