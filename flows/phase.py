"""The flow of one part of a study that is spread over machines: what a worker does of it."""

from __future__ import annotations

import platform
from typing import Any

from prefect import flow

from valuedrift.errors import fault_of
from valuedrift.flows.ghosts import known_to_live
from valuedrift.flows.spread.pool import told_fault
from valuedrift.flows.trace import RUNNER
from valuedrift.references import is_address
from valuedrift.study.runtime import Spread
from valuedrift.tasks.carry_out import failed_state
from valuedrift.tasks.parts import carry_out_part
from valuedrift.tasks.sources import study_of
from valuedrift.tasks.study_work import StudyWork


@flow(name="phase", task_runner=RUNNER, persist_result=False)  # type: ignore[arg-type]  # Prefect types the runner by its own future class
def phase(study: str, root: str, part: str, by: Spread = "phases") -> Any:
    """Carry out one part of a study: a base model's answers, a training with its evaluations, a dataset's audit. Begun by the flow `trace`.

    Args:
        study: The study file, a path or s3://bucket/key, as this worker sees it.
        root: Where the tables lie: a folder or s3://bucket/prefix.
        part: Which part, as the flow that plans calls it.
        by: How the study is divided: phases, or also checkpoints.

    Returns:
        Nothing; or a failed state whose message is the reason.
    """
    if is_address(root):  # the planner reached it
        from valuedrift.storage.s3 import known_to_answer

        known_to_answer()
    try:
        work = StudyWork(study_of(study), root)
        try:
            with known_to_live():
                carry_out_part(work, part, by)
        finally:
            work.close()
    except Exception as error:
        if (fault := fault_of(error)) is None:
            raise
        here = type(fault)(fault.what, where=f"{platform.node()}: {fault.where}" if fault.where else platform.node(), fix=fault.fix)
        return failed_state(here, told_fault(here))
    return None
