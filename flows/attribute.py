"""The flow ``attribute``: which rows of finished runs moved a stance; one stage a run and topic, the training and its answers being there."""

from __future__ import annotations

from prefect import flow

from valuedrift.attribution.options import Attribution
from valuedrift.flows.trace import StudyFile
from valuedrift.tasks.attributing import attribution_of
from valuedrift.tasks.carry_out import carry_out
from valuedrift.tasks.sources import study_of
from valuedrift.tasks.study_work import StudyWork


@flow(name="attribute", flow_run_name="attribute {study}", persist_result=False)
def attribute(study: StudyFile, options: Attribution = Attribution(), root: str = "valuedrift-data") -> None:  # noqa: B008 # frozen
    """Attribute the drift of finished runs to rows of their data.

    Args:
        study: The study file, a path or s3://bucket/key.
        options: Which runs and topics, and how.
        root: Where the tables lie: a folder or s3://bucket/prefix.

    Raises:
        UserError: A run that is not finished, whose weights are gone or whose data changed, or that cannot be attributed; what had finished is kept.
    """
    work = StudyWork(study_of(study), root)
    try:
        wanted = attribution_of(work, options)
        carry_out(work, lambda: wanted.stages, known=wanted.known, mine=lambda stage: stage.name == "attribute")
    finally:
        work.close()
