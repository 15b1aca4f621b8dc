"""``valuedrift report``: the page that says what moved, when, and whether it is more than noise."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from valuedrift.flows.cli.app import RootOption, app, resolve_root
from valuedrift.flows.cli.console import make_console
from valuedrift.flows.cli.trace import StudyArgument


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
    from valuedrift.errors import UserError
    from valuedrift.storage.location import Location
    from valuedrift.tasks.outlook import State, outlook
    from valuedrift.tasks.report import default_folder, write_report
    from valuedrift.tasks.report_inputs import report_inputs
    from valuedrift.tasks.sources import study_of
    from valuedrift.tasks.workplace import Workplace

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
