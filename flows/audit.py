"""The flow ``audit``: the stances of datasets' answers, and the value gap of preference sets; one stage a dataset, and a table in the UI."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_table_artifact

from valuedrift.audit.options import AuditOptions
from valuedrift.audit.words import side_by_side
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.registry import Kind
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.registry import JudgeConfig
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.carry_out import carry_out
from valuedrift.tasks.stages.audit import audit_stage, measures_of
from valuedrift.tasks.work import Work


@flow(name="audit", flow_run_name="audit of {root}", persist_result=False)
def audit(
    datasets: dict[str, Dataset],
    kinds: dict[str, Kind],
    judge: JudgeConfig = CrossEncoder(),  # noqa: B008 # frozen
    options: AuditOptions = AuditOptions(),  # noqa: B008 # frozen
    root: str = "valuedrift-data",
    runtime: Runtime = Runtime(),  # noqa: B008 # frozen
) -> None:
    """Audit datasets.

    Args:
        datasets: By the name they get in the tables.
        kinds: What each holds: sft or preference.
        judge: Who judges.
        options: Which rows, how sure.
        root: Where the tables lie: a folder or s3://bucket/prefix.
        runtime: Devices, parallelism and patience.

    Raises:
        UserError: A fault in a dataset or the judge; what had finished is kept.
    """
    work = Work(root, runtime)
    try:
        stages = [audit_stage(work, name, dataset, kinds[name], judge, options) for name, dataset in datasets.items()]
        carry_out(work, lambda: stages)
        rows = side_by_side(measures_of(work, list(datasets), judge.name))
        create_table_artifact(table=rows, key="audit", description="Stances of chosen and rejected answers, and the value gap")
    finally:
        work.close()
