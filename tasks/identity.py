"""What each stage's result is made of. Its fingerprint is the cache key, in Prefect and in the manifest alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from valuedrift.audit.options import AuditOptions
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.registry import Kind
from valuedrift.engines.registry import engine_identity
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.panel import Panel
from valuedrift.judges.registry import JudgeConfig, judge_identity
from valuedrift.study import RunPlan
from valuedrift.tasks.workplace import Workplace
from valuedrift.tasks.workroom import Workroom
from valuedrift.training.options import resolve_precision

ANALYSIS_VERSION = 2
"""Raised when the statistics change their numbers."""
CORRECTION_VERSION = 1
"""Raised when what labels make of the numbers changes."""
AUDIT_VERSION = 1
"""Raised when an audit's measures change."""


def train_identity(work: Workplace, run: RunPlan, parent_fingerprint: str) -> dict[str, Any]:
    """Identity of a training phase: parent weights, rows, algorithm, schedule, seed."""
    dtype = resolve_precision(run.algorithm.dtype, work.runtime.device)
    return run.identity(parent=parent_fingerprint, dataset=work.corpus(run.dataset, run.kind).fingerprint, dtype=dtype)


def sample_identity(work: Workplace, weights_fingerprint: str) -> dict[str, Any]:
    """Identity of the answers of one checkpoint: weights, questions, sampling, engine. Neither run nor step: equal weights share their answers."""
    return {
        "stage": "sample",
        "weights": weights_fingerprint,
        "probes": work.probes_fingerprint,
        "sampling": work.study.sampling.model_dump(mode="json"),
        **engine_identity(work.study.engine, dtype=work.study.dtype),
    }


def stance_identity(judge: JudgeConfig, responses_key: str) -> dict[str, Any]:
    """Identity of one judge's stances of one checkpoint's answers."""
    return {"stage": "judge", "judge": judge_identity(judge), "responses": responses_key}


def panel_identity(panel: Panel, stance_keys: Sequence[str]) -> dict[str, Any]:
    """Identity of the stances that a panel makes of those of its members, given in the members' order; their names do not matter."""
    return {"stage": "panel", "panel": panel.combined(stance_keys)}


def analysis_identity(work: Workplace, stance_keys: list[str]) -> dict[str, Any]:
    """Identity of a study's trajectory and drift tables."""
    return {
        "stage": "analyze",
        "version": ANALYSIS_VERSION,
        "stances": sorted(stance_keys),
        "analysis": work.study.analysis.model_dump(mode="json"),
    }


def correction_identity(work: Workplace, stance_keys: Sequence[str], label_keys: Sequence[str]) -> dict[str, Any]:
    """Identity of the tables that people's labels correct: the stances, the labels, how sure, and what the stance is taken on."""
    return {
        "stage": "correct",
        "version": CORRECTION_VERSION,
        "stances": sorted(stance_keys),
        "labels": sorted(label_keys),
        "analysis": work.study.analysis.model_dump(mode="json", include={"confidence", "towards"}),
    }


def audit_identity(work: Workroom, dataset: Dataset, kind: Kind, judge: JudgeConfig, options: AuditOptions) -> dict[str, Any]:
    """Identity of a dataset's audit: its rows, the judge, what tells prompts about values, the options."""
    return {
        "stage": "audit",
        "version": AUDIT_VERSION,
        "rows": work.corpus(dataset, kind).fingerprint,
        "judge": judge_identity(judge),
        "value_filter": _value_filter(),
        "options": options.model_dump(mode="json"),
    }


@cache
def _value_filter() -> dict[str, Any]:
    from valuedrift.probes.vprism.english.value_filter import filter_identity

    return filter_identity()


def key_of(identity: dict[str, Any]) -> str:
    """The key under which a result is kept."""
    return fingerprint(identity)
