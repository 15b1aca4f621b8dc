"""What the tasks of one study share: the study, its plan, its probes and base models, in a workroom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from valuedrift.audit.options import AuditOptions
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.registry import Kind
from valuedrift.judges.panel import Panel
from valuedrift.judges.registry import JudgeConfig
from valuedrift.models.resolve import resolve_model
from valuedrift.probes import Probe, probes_fingerprint
from valuedrift.study import Plan, Study, expand
from valuedrift.study.spec import Model
from valuedrift.tasks.sources import audit_kind_of, brought, count_of, probes_of
from valuedrift.tasks.workroom import Workroom
from valuedrift.weights import Weights


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """One dataset of a study to be audited."""

    name: str
    dataset: Dataset
    kind: Kind
    options: AuditOptions


class Workplace(Workroom):
    """Built once a flow run; shared by its task threads.

    Args:
        study: The study.
        root: Where the tables lie: a folder or s3://bucket/prefix.
    """

    def __init__(self, study: Study, root: str) -> None:
        super().__init__(root, study.runtime)
        self.study = study.model_copy(update={"judges": tuple(judge.with_paths(brought) for judge in study.judges)})
        self._bases: dict[str, tuple[Weights, str]] = {}

    @cached_property
    def plan(self) -> Plan:
        """The study's runs."""
        return expand(self.study, count_of)

    @cached_property
    def probes(self) -> list[Probe]:
        """The questions that are asked at every checkpoint."""
        chosen = self.study.probes
        return probes_of(chosen.set, topics=chosen.topics, per_topic=chosen.per_topic)

    @cached_property
    def probes_fingerprint(self) -> str:
        """Content hash of the questions."""
        return probes_fingerprint(self.probes)

    def judge(self, name: str) -> JudgeConfig:
        """A judge of the study by name."""
        return next(judge for judge in self.study.judges if judge.name == name)

    def panel(self, name: str) -> Panel:
        """A panel of the study by name."""
        return next(judge for judge in self.study.judges if isinstance(judge, Panel) and judge.name == name)

    @property
    def auditor(self) -> JudgeConfig:
        """Who audits the study's datasets: its first judge that is no panel."""
        return next(judge for judge in self.study.judges if not isinstance(judge, Panel))

    def audits(self) -> list[AuditPlan]:
        """The audits of the study's datasets, each once, in the order in which its runs use them."""
        options = self.study.audit
        if options is None:
            return []
        used = {run.dataset_name: run for run in self.plan.runs}
        return [
            AuditPlan(name, run.dataset, audit_kind_of(run.dataset) if run.kind == "labelled" else run.kind, options)
            for name, run in used.items()
        ]

    def checkpoints_folder(self, run_key: str) -> Path:
        """Where the checkpoints of a training phase lie, by its identity."""
        return self.local / "checkpoints" / run_key

    def base(self, model: Model) -> tuple[Weights, str]:
        """A base model's weights and their fingerprint; converted or fetched at the first call."""
        with self.lock(f"base {model.path}"):
            if model.path not in self._bases:
                weights = Weights(base=resolve_model(brought(model.path)))
                self._bases[model.path] = (weights, weights.fingerprint())
            return self._bases[model.path]
