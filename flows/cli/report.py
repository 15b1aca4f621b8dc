"""``valuedrift report``: the page that says what moved, when, and whether it is more than noise."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from flows.cli.app import RootOption, app, resolve_root
from flows.cli.console import make_console
from flows.cli.trace import StudyArgument


@app.command("report")
def report(
    study: StudyArgument,
    root: RootOption = None,
    out: Annotated[
        str | None,
        typer.Option("--out", help="Folder for report.html and figures/, local or s3://; default: reports/STUDY below the root."),
    ] = None,
) -> None:
    """Write a study's report from its tables: one HTML file that opens anywhere, and the figures as PNG, SVG and PDF."""
    from storage.location import Location
    from tasks.outlook import State, outlook
    from tasks.report import default_folder, write_report
    from tasks.report_inputs import report_inputs
    from tasks.sources import study_of
    from tasks.workplace import Workplace
    from valuedrift.errors import UserError

    folder = Location.parse(out).reached() if out else None
    work = Workplace(study_of(study), resolve_root(root))
    missing = [stage for stage in outlook(work) if stage.state is not State.CACHED]
    if missing:
        raise UserError(
            f"{len(missing)} stages of this study are not done",
            where=study,
            fix=f"valuedrift run {study}; valuedrift explain says which",
        )
    page = write_report(report_inputs(work), folder or default_folder(work))
    make_console().print(escape(page.uri), soft_wrap=True, highlight=False)
