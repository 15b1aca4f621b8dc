"""Write the report of a study: one HTML file, the figures, and a Markdown artifact in the Prefect UI."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import TaskRunContext

from valuedrift.errors import UserError
from valuedrift.report import build_markdown, build_report, write_figures
from valuedrift.report.inputs import ReportInputs, read_inputs
from valuedrift.results.conclusions import TABLES as CONCLUDED
from valuedrift.storage.location import Location, path_part
from valuedrift.storage.store import Store
from valuedrift.study import Study
from valuedrift.tasks.board import board, stage
from valuedrift.tasks.conclude import study_fingerprint
from valuedrift.tasks.labels import label_keys
from valuedrift.tasks.reference import Reference
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
        inputs = inputs_of(work.store, work.study.study)
        page = write_report(inputs, Location.parse(folder) if folder else default_folder(work))
        if TaskRunContext.get() is not None:
            _artifacts(work, inputs)
    board().settled()
    return page.uri


def inputs_of(store: Store, study: str) -> ReportInputs:
    """What the tables of a concluded study tell."""
    return read_inputs(lambda table: store.read(table, study=study))


def check_concluded(store: Store, study: Study, file: str) -> None:
    """See from the manifest alone whether a study's tables are whole and of what its file says now.

    Args:
        store: Where the tables lie.
        study: The study.
        file: The study file, for the message.

    Raises:
        UserError: The study must be run first; says why.
    """
    fix = f"valuedrift run {file}; valuedrift explain says what is missing"
    drift, concluded = (store.entry(table, {"study": study.study}) for table in ("drift", CONCLUDED[-1]))
    if drift is None:
        raise UserError("this study is not analysed yet", where=file, fix=fix)
    if concluded is None:
        again = f"run `valuedrift run {file}` once; nothing is trained, sampled or judged again"
        raise UserError(
            "the tables that a report reads are missing: the study was made by version 0.2, or its run was stopped", where=file, fix=again
        )
    judged = {entry.key for entry in store.entries("stances", study.study)}
    changes = {
        "stances that the drift was made of are gone": not judged.issuperset(drift.identity["stances"]),
        "the drift was made again": concluded.identity["analysis"] != drift.key,
        "people labelled answers": concluded.identity["labels"] != label_keys(store, study.study),
        "the study file says something else": concluded.identity["study"] != study_fingerprint(study),
    }
    changed = [what for what, so in changes.items() if so]
    if changed:
        raise UserError(f"since the study was concluded, {' and '.join(changed)}", where=file, fix=fix)


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
