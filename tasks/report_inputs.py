"""Gather what the report of a study is made of from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import yaml

from valuedrift.judges.network.weights import shipped_metrics
from valuedrift.judges.panel import Panel
from valuedrift.report.inputs import PeoplesLabels, ReportInputs
from valuedrift.starter import PROPOSITIONS
from valuedrift.tasks.analyze import drift_of, stances_of
from valuedrift.tasks.audit import measures_of
from valuedrift.tasks.correct import labels_of
from valuedrift.tasks.provenance import git_commit, machine, versions
from valuedrift.tasks.workplace import Workplace


def report_inputs(work: Workplace) -> ReportInputs:
    """All tables of a study, and where they came from; statistics by :func:`valuedrift.drift.analyze.analyze` alone."""
    study = work.study
    planned = [run.run_id for run in work.plan.runs]
    runs = work.store.read("runs", study=study.study, run_id=planned)
    drift, labels = drift_of(work), labels_of(work)
    prompts = pl.DataFrame([{"prompt_id": probe.prompt_id, "prompt": probe.prompt} for probe in work.probes])
    responses = work.store.read("responses", study=study.study, run_id=planned).join(prompts, on="prompt_id", how="left")
    traits: dict[str, Mapping[str, str]] = {
        name: {str(trait): str(value) for trait, value in dataset.traits.items()}
        for name, dataset in {**study.corpora, **study.preferences}.items()
    }
    return ReportInputs(
        study_name=study.study,
        description=study.description,
        runs=runs,
        checkpoints=work.store.read("checkpoints", study=study.study, run_id=planned),
        training=work.store.read("training", study=study.study, run_id=planned),
        trajectory=drift.trajectory,
        drift=drift.drift,
        responses=responses,
        stances=stances_of(work),
        acquiescence=drift.acquiescence,
        coverage=drift.coverage,
        judge_metrics=[*shipped_metrics(), *_on_labels(labels)],
        warnings=drift.warnings,
        provenance=_provenance(work, runs),
        confidence=study.analysis.confidence,
        propositions={topic: PROPOSITIONS[topic] for topic in sorted({probe.topic for probe in work.probes}) if topic in PROPOSITIONS},
        traits=traits,
        judge=study.judges[0].name,
        seed=study.seed,
        panels={judge.name: judge.names for judge in study.judges if isinstance(judge, Panel)},
        audits=_audits(work),
        labels=labels,
    )


def _on_labels(labels: PeoplesLabels | None) -> list[Mapping[str, Any]]:
    """How good the study's judges are on what people labelled of it, as a report shows any such measurement."""
    if labels is None:
        return []
    return [found.flat(judge, "labelled answers of this study") for judge, found in labels.validations.items()]


def _audits(work: Workplace) -> pl.DataFrame:
    names = [audit.name for audit in work.audits()]
    return measures_of(work, names, work.auditor.name, work.study.study)


def _provenance(work: Workplace, runs: pl.DataFrame) -> dict[str, dict[str, str]]:
    study = work.study
    began, ended = str(runs.get_column("started").min()), str(runs.get_column("ended").max())
    models = {name: f"{model.path} · weights {work.base(model)[1]}" for name, model in study.models.items()}
    datasets = {run.dataset_name: f"{run.dataset.data} · rows {work.corpus(run.dataset, run.kind).fingerprint}" for run in work.plan.runs}
    return {
        "Program": {"git commit": git_commit() or "not a checkout", **versions()},
        "Machine": {**machine(), "training began": f"{began} UTC", "training ended": f"{ended} UTC"},
        "Models": models,
        "Datasets": datasets,
        "Probes": {"set": study.probes.set, "prompts": str(len(work.probes)), "fingerprint": work.probes_fingerprint},
        "Sampling": {key: str(value) for key, value in study.sampling.model_dump().items()} | {"engine": study.engine},
        "Judges": {judge.name: yaml.safe_dump(judge.provenance(), sort_keys=True).strip() for judge in study.judges},
        "Runs": {
            row["run_id"]: f"fingerprint {row['fingerprint']} · commit {row['git_commit'] or 'none'}" for row in runs.iter_rows(named=True)
        },
        "Study file": {"yaml": yaml.safe_dump(study.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True)},
    }
