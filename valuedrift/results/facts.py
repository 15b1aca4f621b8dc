"""What a study file says beside the numbers, and which tables are made of it; light, so that a report needs nothing else of what makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from valuedrift.corpora.dataset import Dataset
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.panel import Panel
from valuedrift.starter import PROPOSITIONS

if TYPE_CHECKING:
    from valuedrift.study import Study

ANALYSED = ("trajectory", "drift", "acquiescence", "coverage", "sensitivity", "warnings")
"""The tables of an analysis; where the last one lies, all do."""
CASCADES = ("cascade_cells",)
"""What an analysis writes beside them where the study has cascades."""
SEEDED = ("seed_trajectory", "seed_drift")
"""What an analysis writes beside them where the study trains its runs with several seeds."""
CORRECTED = ("trajectory_corrected", "correction_notes", "drift_corrected")
"""The tables of a correction by people's labels."""
CONCLUDED = ("provenance", "findings", "examples", "agreement", "judge_quality", "label_confusion", "calibration_curve", "studies")
"""The tables of conclusions; where the last one lies, all do."""


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What a study file says beside the numbers, as far as conclusions and report tell it.

    Attributes:
        study: Name of the study.
        description: What it asks.
        judge: Its main judge.
        auditor: The judge of its datasets; None where they are not audited.
        panels: Judges that are the mean of others, with their members.
        cascades: Judges that read a sample by another one, with the cheap and the strong judge of each.
        traits: Dataset to what is known of it: ``answers`` and ``gap``.
        propositions: Topic to the proposition that its prompts put.
        confidence: Level of the intervals.
        seed: The study's seed.
        file: The study file, as YAML.
        fingerprint: Fingerprint of what the file says, without runtime and folders.
    """

    study: str
    description: str
    judge: str
    auditor: str | None
    panels: Mapping[str, Sequence[str]]
    traits: Mapping[str, Mapping[str, str]]
    propositions: Mapping[str, str]
    confidence: float
    seed: int
    file: str
    fingerprint: str
    cascades: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def facts_of(study: Study) -> StudyFacts:
    """What a study file says beside the numbers."""
    return StudyFacts(
        study=study.study,
        description=study.description,
        judge=study.judges[0].name,
        auditor=study.auditor.name if study.audit is not None else None,
        panels={judge.name: judge.judged_from for judge in study.judges if isinstance(judge, Panel)},
        traits={
            name: {str(trait): str(value) for trait, value in dataset.traits.items()}
            for name, dataset in {**study.corpora, **study.preferences}.items()
        },
        propositions=PROPOSITIONS,
        confidence=study.analysis.confidence,
        seed=study.seed,
        file=yaml.safe_dump(study.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True),
        fingerprint=study_fingerprint(study),
        cascades={cascade.name: (cascade.cheap, cascade.strong) for cascade in study.cascades},
    )


def study_fingerprint(study: Study) -> str:
    """Fingerprint of what a study file says, the same on every machine: without runtime, and without the folders of what it names."""

    def last(reference: str) -> str:
        return reference.rstrip("/").rsplit("/", 1)[-1]

    said = study.model_dump(mode="json", exclude={"runtime", "judges"}, exclude_defaults=True)
    for dataset in (*said.get("corpora", {}).values(), *said.get("preferences", {}).values()):
        for part in dataset.get("mixture", [dataset]):
            part["data"] = last(part["data"]) if isinstance(part["data"], str) else [last(place) for place in part["data"]]
    for phase, written in zip((*study.sft, *study.preference), (*said.get("sft", ()), *said.get("preference", ())), strict=True):
        if isinstance(phase.held_out, Dataset):
            written["held_out"] = phase.held_out.with_places(last).model_dump(mode="json", exclude_defaults=True)
    if not isinstance(study.engine, str):
        said["engine"] = study.engine.drawing_identity()
    for name in said.get("series", {}):
        series = study.series[name].with_paths(last)
        said["series"][name] = series.model_dump(mode="json", exclude=set(series.identity_free), exclude_defaults=True)
    if study.capability is not None:
        said["capability"] = study.capability.with_paths(last).model_dump(mode="json", exclude_defaults=True)
    for model in said.get("models", {}).values():
        model["path"] = last(model["path"])
    asked = said.get("probes", {})
    for probes in asked if isinstance(asked, list) else [asked]:
        if "set" in probes:
            probes["set"] = last(probes["set"])
    judges = [judge.with_paths(last).model_dump(mode="json", exclude_defaults=True) for judge in study.judges]
    return fingerprint({**said, "judges": judges})
