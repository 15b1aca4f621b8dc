"""Stage ``audit``: the stances of one dataset's answers, judged in a child process; its measures and its judged examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.audit.job import AuditJob
from valuedrift.audit.measures import measure
from valuedrift.audit.options import AuditOptions
from valuedrift.corpora.became import has_more, row_counts, told_rows
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.registry import Kind
from valuedrift.judges.registry import JudgeConfig, judge_identity
from valuedrift.models.control import control_identity, texts_in
from valuedrift.storage.schemas import table_schema
from valuedrift.study.understood import foreign_texts
from valuedrift.tasks.board import artifact_key, shown, tell
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.selected import selected_by
from valuedrift.tasks.sources import audit_kind_of
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work

AUDIT_VERSION = 1
"""Raised when an audit's measures change."""
BY_ITSELF = "audit"
"""In place of a study's name where a dataset is audited by itself."""
TABLES = ("audit_examples", "audits")
ROWS = "audit_rows"


def stages(work: StudyWork, _: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a dataset that the study trains on, in the order in which its runs use them."""
    if work.study.audit is None:
        return
    for run in {run.dataset_name: run for run in work.plan.runs}.values():
        kind = audit_kind_of(run.dataset) if run.kind == "labelled" else run.kind
        yield audit_stage(work, run.dataset_name, run.dataset, kind, work.auditor, work.study.audit.options, work.study.study)


def audit_stage(
    work: Work, name: str, dataset: Dataset, kind: Kind, judge: JudgeConfig, options: AuditOptions, study: str = BY_ITSELF
) -> Stage:
    """The stage that audits one dataset.

    Args:
        work: What stages share.
        name: Name of the dataset in the tables.
        dataset: Where it lies.
        kind: sft or preference.
        judge: Who judges.
        options: Which rows, how sure.
        study: The study that trains on it.
    """

    def identity(_: Sequence[Reference]) -> dict[str, Any]:
        return audit_identity(work, dataset, kind, judge, options)

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        examples = _examples(work, name, dataset, kind, judge, options, study)
        called = {"study": pl.lit(study), "dataset": pl.lit(name), "judge": pl.lit(judge.name)}
        measures = measure(examples, options).with_columns(kind=pl.lit(kind))
        if note := foreign_texts(judge, examples.get_column("prompt").to_list()):
            tell(f"audit {name}: {note}")
        if note := selected_by(dataset, judge):
            tell(f"audit {name}: {note}")
        told = own_rows(pl.DataFrame())
        if has_more(told.iter_rows(named=True)):
            tell(f"audit {name}: {told_rows(told.iter_rows(named=True))}")
        return {ROWS: told, "audit_examples": examples.with_columns(**called), "audits": measures.with_columns(**called)}

    def own_rows(_: pl.DataFrame) -> pl.DataFrame:
        """What became of the rows of this dataset."""
        named = {"study": study, "dataset": name, "judge": judge.name}
        entries = row_counts(work.corpus(dataset, kind))
        return pl.DataFrame([{**named, **entry} for entry in entries], schema=table_schema(ROWS).polars)

    address = Address(TABLES, {"study": study, "dataset": name}, judge.name, {ROWS: own_rows})
    return Stage("audit", address, (), identity, make, on="gpu", urgency=1, names={"judge": judge.name}, what=name, beside=True)


def audit_identity(work: Work, dataset: Dataset, kind: Kind, judge: JudgeConfig, options: AuditOptions) -> dict[str, Any]:
    """Identity of a dataset's audit: its rows, the judge, what tells prompts about values, the options."""
    rows = work.corpus(dataset, kind)
    return {
        "stage": "audit",
        "version": AUDIT_VERSION,
        "rows": rows.fingerprint,
        "judge": judge_identity(judge),
        "value_filter": _value_filter(),
        "options": options.model_dump(mode="json", exclude={"auditor"}),
        **control_identity(judge.control_names(), texts_in(rows.rows)),
    }


@cache
def _value_filter() -> dict[str, Any]:
    from valuedrift.probes.vprism.english.value_filter import filter_identity

    return filter_identity()


def _examples(work: Work, name: str, dataset: Dataset, kind: Kind, judge: JudgeConfig, options: AuditOptions, study: str) -> pl.DataFrame:
    runtime = work.runtime

    def job(folder: Path) -> AuditJob:
        return AuditJob(
            dataset=work.corpus_file(dataset, kind),
            options=options,
            judge=judge,
            out=folder / "examples.parquet",
            threads=runtime.worker_threads(),
            device=runtime.device,
        )

    examples: pl.DataFrame = work.pool.run(
        job,
        shown=lambda: shown(f"audit {name}", f"audit-{artifact_key(name)}" + (f"-{artifact_key(study)}" if study != BY_ITSELF else "")),
        timeout=60 * runtime.timeout_minutes,
        priority=1,  # a study's own numbers come first
        collect=lambda folder, _: pl.read_parquet(folder / "examples.parquet"),
    )
    return examples


def rows_of_audits(work: Work, names: Sequence[str], judge: str, study: str = BY_ITSELF) -> dict[str, list[dict[str, Any]]]:
    """The table audit_rows by dataset: what became of its rows before they were audited; audits of version 0.2 don't say."""
    frame = work.store.read(ROWS, study=study, dataset=list(names), judge=judge)
    return {name: frame.filter(pl.col("dataset") == name).to_dicts() for name in frame.get_column("dataset").unique()}


def measures_of(work: Work, names: Sequence[str], judge: str, study: str = BY_ITSELF) -> pl.DataFrame:
    """The table audits of some datasets, in the order of their names."""
    order = {name: place for place, name in enumerate(names)}
    frame = work.store.read("audits", study=study, dataset=list(names), judge=judge)
    return frame.sort(pl.col("dataset").replace_strict(order, return_dtype=pl.Int64), maintain_order=True)
