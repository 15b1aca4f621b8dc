"""Write the report of a study: one HTML file, the figures, and a Markdown artifact in the Prefect UI."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import TaskRunContext

from valuedrift.report import build_markdown, build_report, write_figures
from valuedrift.report.inputs import ReportInputs
from valuedrift.storage.location import Location, path_part
from valuedrift.tasks.board import board, stage
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.report_inputs import report_inputs
from valuedrift.tasks.workplace import Workplace

PAGE = "report.html"
FIGURE_FORMATS = ("png", "svg", "pdf")


@task(name="report", task_run_name="report", persist_result=False)
def report(work: Workplace, drift: Reference, folder: str | None = None) -> str:
    """Write report.html and the figures.

    Args:
        work: What the flow's tasks share.
        drift: The drift table that it is about.
        folder: Where to write, local or s3://; default: reports/<study> below the root.

    Returns:
        Path or address of the HTML file.
    """
    with stage("report"):
        inputs = report_inputs(work)
        page = write_report(inputs, Location.parse(folder) if folder else default_folder(work))
        if TaskRunContext.get() is not None:
            _artifacts(work, inputs)
    board().settled()
    return page.uri


def default_folder(work: Workplace) -> Location:
    """Where a study's report goes if nobody says."""
    return work.store.root / "reports" / path_part(work.study.study)


def write_report(inputs: ReportInputs, folder: Location) -> Location:
    """Write the page and its figures; the page appears last, whole or not at all."""
    page = folder / PAGE
    with TemporaryDirectory() as aside:
        write_figures(inputs, Path(aside), formats=FIGURE_FORMATS)
        content = build_report(inputs).encode()
        for figure in sorted(Path(aside).iterdir()):
            (folder / "figures" / figure.name).put_bytes(figure.read_bytes())
    page.put_bytes(content)
    return page


def _artifacts(work: Workplace, inputs: ReportInputs) -> None:
    name = "".join(letter if letter.isalnum() else "-" for letter in work.study.study)
    create_markdown_artifact(markdown=build_markdown(inputs), key=f"report-{name}", description=f"Value drift of study {work.study.study}")
    columns = ("run_id", "topic", "stance", "magnitude", "magnitude_low", "magnitude_high", "drift_time", "q_value")
    rows = inputs.main_drift.select(columns).head(50).to_dicts()
    shown = [{key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()} for row in rows]
    create_table_artifact(table=shown, key=f"drift-{name}", description=f"Largest drifts of study {work.study.study}")
