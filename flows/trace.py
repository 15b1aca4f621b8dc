"""The main flow: train every phase, sample and judge every checkpoint, analyse, report.

    train ──▶ sample step 0 ──▶ judge ─┐                       (a panel's stances come from those of its judges)
      │   └─▶ sample step n ──▶ judge ─┼─▶ analyze ──▶ (correct, where people labelled answers) ──▶ report
      └─▶ train (preference) ─▶ …     ─┘

Each box is one cached, retryable task; equal work under two names is done once. Start a server (``prefect server start``) to watch it in the UI.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import exponential_backoff

from valuedrift.tasks.analyze import analyze
from valuedrift.tasks.audit import audit
from valuedrift.tasks.conclude import conclude
from valuedrift.tasks.correct import correct, is_labelled
from valuedrift.tasks.judge import judge
from valuedrift.tasks.outcome import raise_failures
from valuedrift.tasks.panel import panel
from valuedrift.tasks.probes import keep_probes
from valuedrift.tasks.report import report
from valuedrift.tasks.sample import sample
from valuedrift.tasks.sources import study_of
from valuedrift.tasks.train import train
from valuedrift.tasks.workplace import Workplace

_RUNNER: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=256)
"""Threads cost little while they wait; how much really runs at once is up to runtime.workers."""


def _name() -> str:
    """A flow run is called after its study file."""
    return f"trace {Path(str(flow_run.parameters['study'])).stem}"


@flow(name="trace", flow_run_name=_name, task_runner=_RUNNER, persist_result=False)  # type: ignore[arg-type]  # Prefect types the runner by its own future class
def trace(study: str, root: str = "valuedrift-data", report_folder: str | None = None) -> str:
    """Trace a study's value drift from base models to the report.

    Args:
        study: The study file, a path or s3://bucket/key.
        root: Where the tables lie: a folder or s3://bucket/prefix.
        report_folder: Where report.html and the figures are written; default: reports/<study> below the root. A path or s3://bucket/prefix.

    Returns:
        The path or address of the report.

    Raises:
        UserError: A fault in the study or its data; what had finished is kept.
    """
    work = Workplace(study_of(study), root)
    try:
        return _trace(work, report_folder)
    finally:
        work.close()


def _trace(work: Workplace, report_folder: str | None) -> str:
    runtime = work.study.runtime
    patience: dict[str, Any] = {
        "retries": runtime.retries,
        "retry_delay_seconds": exponential_backoff(backoff_factor=runtime.retry_delay_seconds),
    }
    training: Any = train.with_options(**patience)
    sampling: Any = sample.with_options(**patience)
    judging: Any = judge.with_options(**patience)
    convening: Any = panel.with_options(**patience)
    auditing: Any = audit.with_options(**patience)
    keep_probes(work)
    stances: list[PrefectFuture[Any]] = []
    trained: dict[str, PrefectFuture[Any]] = {}
    everything: list[PrefectFuture[Any]] = []

    def follow(run_id: str, step: int, checkpoints: Any) -> None:
        """Sample and judge one checkpoint."""
        responses: Any = sampling.submit(work, run_id, step, checkpoints)
        judged: dict[str, Any] = {}
        for by in work.study.judges_in_order:
            judged[by.name] = (
                convening.submit(work, run_id, step, by.name, [judged[member] for member in by.judged_from])
                if by.judged_from
                else judging.submit(work, run_id, step, by.name, responses)
            )
        stances.extend(judged.values())
        everything.extend([responses, *judged.values()])

    for first in work.plan.children(None):
        follow(first.run_id, 0, None)  # the base model needs no training: its answers come first
    for run in work.plan.runs:
        parent: Any = trained.get(run.parent_run_id or "")
        trained[run.run_id] = training.submit(work, run.run_id, parent)
        everything.append(trained[run.run_id])
    for run in work.plan.runs:
        for step in run.steps:
            if step > 0 or run.parent_run_id is not None:
                follow(run.run_id, step, trained[run.run_id])

    audits = [auditing.submit(work, a.name, a.dataset, a.kind, work.auditor, a.options, work.study.study) for a in work.audits()]

    wait([*everything, *audits])
    raise_failures([*everything, *audits])
    judged = [one.result() for one in stances]
    drift = analyze(work, judged)
    if is_labelled(work):
        correct(work, judged)
    conclude(work, drift)
    return report(work, drift, report_folder)
