"""The main flow: carry out the stages of a study, from base models to the report; the list of them is `valuedrift.tasks.stages`.

Each stage is one task; equal work under two names is done once. Start a server (``prefect server start``) to watch it in the UI.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import AfterValidator

from valuedrift.errors import UserError
from valuedrift.flows.ghosts import known_to_live
from valuedrift.flows.spread.planner import carry_out_on_pool
from valuedrift.flows.spread.pool import check_slots
from valuedrift.study.runtime import Spread
from valuedrift.tasks.carry_out import carry_out, failed_state
from valuedrift.tasks.reporting import PAGE
from valuedrift.tasks.retention import Retention
from valuedrift.tasks.sources import study_of
from valuedrift.tasks.stages.report import folder_of_report
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.watching import stages_shown, watching

RUNNER: ThreadPoolTaskRunner[str] = ThreadPoolTaskRunner(max_workers=256)
"""Threads cost little while they wait; how much really runs at once is up to runtime.workers."""


def _checked(study: str) -> str:
    study_of(study)
    return study


StudyFile = Annotated[str, AfterValidator(_checked)]
"""A study file that is whole: whatever is wrong with it is told before a run of the flow begins."""


def _name() -> str:
    """A flow run is called after its study file."""
    return f"trace {Path(str(flow_run.parameters['study'])).stem}"


@flow(name="trace", flow_run_name=_name, task_runner=RUNNER, persist_result=False)  # type: ignore[arg-type]  # Prefect types the runner by its own future class
def trace(
    study: StudyFile, root: str = "valuedrift-data", report_folder: str | None = None, live: bool = False, spread: Spread | None = None
) -> str:
    """Trace a study's value drift from base models to the report.

    Args:
        study: The study file, a path or s3://bucket/key.
        root: Where the tables lie: a folder or s3://bucket/prefix.
        report_folder: Where report.html and the figures are written; default: reports/STUDY below the root. A path or s3://bucket/prefix.
        live: Whether to wait for checkpoints of its series that are not there yet, until the trainings end.
        spread: Whether workers of a work pool do the work: a phase each, or also a checkpoint each; default: as the study's runtime says.

    Returns:
        The path or address of the report.

    Raises:
        UserError: A fault in the study or its data; what had finished is kept.
    """
    try:
        with known_to_live():
            return _traced(study, root, report_folder, live=live, spread=spread)
    except UserError as fault:
        return failed_state(fault)  # type: ignore[no-any-return]  # where somebody waits for the path, Prefect raises the fault


def _traced(study: str, root: str, report_folder: str | None, *, live: bool, spread: Spread | None) -> str:
    work = StudyWork(study_of(study), root, report_folder)
    try:
        check_slots(work.runtime.slots)
        for note in work.notes():
            get_run_logger().warning(note)
        with watching(work, live=live):
            settle = Retention(work, work.name).settle
            if (by := spread or work.runtime.spread) is not None:
                carry_out_on_pool(work, study, by, lambda: stages_shown(work), settle)
            else:
                carry_out(work, lambda: stages_shown(work), settle=settle)
        return (folder_of_report(work) / PAGE).uri
    finally:
        work.close()
