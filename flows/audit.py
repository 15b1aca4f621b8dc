"""The flow ``audit``: the stances of datasets' answers, and the value gap of preference sets; one cached task a dataset.

datasets ─▶ audit (judge every answer, ask which prompts speak to a value) ─▶ audit_examples, audits ─▶ a table in the UI
"""

from __future__ import annotations

from prefect import flow
from prefect.futures import wait

from valuedrift.audit.options import AuditOptions
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.registry import Kind
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.registry import JudgeConfig
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.audit import audit as audit_task
from valuedrift.tasks.audit import show_audits
from valuedrift.tasks.outcome import raise_failures
from valuedrift.tasks.workroom import Workroom


@flow(name="audit", flow_run_name="audit of {root}", persist_result=False)
def audit(
    datasets: dict[str, Dataset],
    kinds: dict[str, Kind],
    judge: JudgeConfig = CrossEncoder(),  # noqa: B008 # frozen
    options: AuditOptions = AuditOptions(),  # noqa: B008 # frozen
    root: str = "valuedrift-data",
    runtime: Runtime = Runtime(),  # noqa: B008 # frozen
) -> list[str]:
    """Audit datasets.

    Args:
        datasets: By the name they get in the tables.
        kinds: What each holds: sft or preference.
        judge: Who judges.
        options: Which rows, how sure.
        root: Where the tables lie: a folder or s3://bucket/prefix.
        runtime: Devices, parallelism and patience.

    Returns:
        Where the measures lie, one table part a dataset.

    Raises:
        UserError: A fault in a dataset or the judge; what had finished is kept.
    """
    work = Workroom(root, runtime)
    try:
        audits = [audit_task.submit(work, name, dataset, kinds[name], judge, options) for name, dataset in datasets.items()]
        wait(audits)
        raise_failures(audits)
        show_audits(work, list(datasets), judge.name)
        return [one.result().uri for one in audits]
    finally:
        work.close()
