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
    from valuedrift.storage.location import Location, path_part
    from valuedrift.storage.store import Store
    from valuedrift.tasks.report import check_concluded, inputs_of, write_report
    from valuedrift.tasks.sources import study_of

    folder = Location.parse(out).reached() if out else None
    spec, store = study_of(study), Store(resolve_root(root))
    check_concluded(store, spec, study)
    page = write_report(inputs_of(store, spec.study), folder or store.root / "reports" / path_part(spec.study))
    make_console().print(escape(page.uri), soft_wrap=True, highlight=False)
