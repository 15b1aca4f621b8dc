"""Audit one dataset in a child process, and keep its measures and its judged examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from prefect import task
from prefect.artifacts import create_table_artifact

from valuedrift.audit.job import AuditJob
from valuedrift.audit.measures import measure
from valuedrift.audit.options import AuditOptions
from valuedrift.audit.words import side_by_side
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.registry import Kind
from valuedrift.judges.registry import JudgeConfig
from valuedrift.storage.schemas import table_schema
from valuedrift.storage.store import Part
from valuedrift.tasks.board import board, stage
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.identity import audit_identity, key_of
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.reuse import reuse
from valuedrift.tasks.workroom import Workroom

BY_ITSELF = "audit"
"""In place of a study's name where a dataset is audited by itself."""


def audited(
    work: Workroom, name: str, dataset: Dataset, kind: Kind, judge: JudgeConfig, options: AuditOptions, study: str = BY_ITSELF
) -> bool:
    """Whether this audit lies in the store."""
    key = key_of(audit_identity(work, dataset, kind, judge, options))
    entry = work.store.entry("audits", {"study": study, "dataset": name}, judge.name)
    return entry is not None and entry.key == key and work.store.exists(entry)


def _key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work, name, judge = parameters["work"], parameters["name"], parameters["judge"]
    key = key_of(audit_identity(work, parameters["dataset"], parameters["kind"], judge, parameters["options"]))
    return f"{parameters['study']}-{name}-{judge.name}-{key}", audited(**parameters)


@task(name="audit", task_run_name="audit {name}", cache_key_fn=cached_by("audit", _key), **TASK)
def audit(
    work: Workroom, name: str, dataset: Dataset, kind: Kind, judge: JudgeConfig, options: AuditOptions, study: str = BY_ITSELF
) -> Reference:
    """Measure the stances of a dataset's answers, or take an audit of equal rows that is there.

    Args:
        work: What the flow's tasks share.
        name: Name of the dataset in the tables.
        dataset: Where it lies.
        kind: sft or preference.
        judge: Who judges.
        options: Which rows, how sure.
        study: The study that trains on it.

    Raises:
        UserError: The dataset or the judge is at fault.
        StageError: The judging died.
    """
    identity = audit_identity(work, dataset, kind, judge, options)
    key = key_of(identity)
    partition: dict[str, str | int] = {"study": study, "dataset": name}
    with work.lock(f"audit {key}"):
        one_by_one = reuse(work, "audit_examples", key, partition, judge.name)
        reused = reuse(work, "audits", key, partition, judge.name)
        if one_by_one is not None and reused is not None:
            return reused
        examples = _examples(work, name, dataset, kind, judge, options)
        measures = measure(examples, options).with_columns(kind=pl.lit(kind))
        parts = [
            Part(table, _in_shape(table, frame, judge.name, partition), partition, key, identity, slot=judge.name)
            for table, frame in (("audit_examples", examples), ("audits", measures))
        ]
        entry = work.store.put_all(parts)[-1]
        board().settled()
        return Reference.to(entry, reused=False)


def _examples(work: Workroom, name: str, dataset: Dataset, kind: Kind, judge: JudgeConfig, options: AuditOptions) -> pl.DataFrame:
    corpus, runtime = work.corpus(dataset, kind), work.runtime

    def job(folder: Path) -> AuditJob:
        return AuditJob(
            dataset=corpus.path,
            options=options,
            judge=judge,
            out=folder / "examples.parquet",
            threads=runtime.worker_threads(),
            device=runtime.device,
        )

    examples: pl.DataFrame = work.pool.run(
        job,
        shown=lambda: stage(f"audit {name}"),
        timeout=60 * runtime.timeout_minutes,
        priority=1,  # a study's own numbers come first
        collect=lambda folder, _: pl.read_parquet(folder / "examples.parquet"),
    )
    return examples


def _in_shape(table: str, frame: pl.DataFrame, judge: str, partition: dict[str, str | int]) -> pl.DataFrame:
    named = frame.with_columns(judge=pl.lit(judge), **{name: pl.lit(value) for name, value in partition.items()})
    return named.select(pl.col(name).cast(kind) for name, kind in table_schema(table).polars.items())


def measures_of(work: Workroom, names: Sequence[str], judge: str, study: str = BY_ITSELF) -> pl.DataFrame:
    """The table audits of some datasets, in the order of their names."""
    order = {name: place for place, name in enumerate(names)}
    frame = work.store.read("audits", study=study, dataset=list(names), judge=judge)
    return frame.sort(pl.col("dataset").replace_strict(order, return_dtype=pl.Int64), maintain_order=True)


def show_audits(work: Workroom, names: Sequence[str], judge: str) -> None:
    """Show datasets side by side in the Prefect UI."""
    rows = side_by_side(measures_of(work, names, judge))
    create_table_artifact(table=rows, key="audit", description="Stances of chosen and rejected answers, and the value gap")
