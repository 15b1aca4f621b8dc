"""The keys under which version 0.2 kept its results: a root that it made is found finished only as long as they stay what they are.

A key that must change because it was wrong changes in frozen_identities.json too, and CHANGELOG says which results are made anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from valuedrift.audit.options import AuditOptions
from valuedrift.engines.registry import EngineConfig
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.panel import Panel
from valuedrift.judges.registry import JUDGE
from valuedrift.probes.vprism.config import ProbeBuild
from valuedrift.probes.vprism.source import Source
from valuedrift.study import load_study
from valuedrift.study.runtime import Runtime
from valuedrift.synthesis.config import Dial, Setting, Synthesis
from valuedrift.synthesis.questions import Question, starter_questions
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.analyze import analysis_identity
from valuedrift.tasks.stages.audit import audit_identity
from valuedrift.tasks.stages.correct import correction_identity
from valuedrift.tasks.stages.judge import panel_identity, stance_identity
from valuedrift.tasks.stages.probe_build import probe_stages
from valuedrift.tasks.stages.sample import sample_identity
from valuedrift.tasks.stages.synthesis import synthesis_stages
from valuedrift.tasks.stages.train import train_identity
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work

HERE = Path(__file__).parent
FROZEN = HERE / "frozen_identities.json"
STUDIES = {"demo": HERE.parent / "deployments" / "studies" / "demo.yaml", "tiny": HERE / "integration" / "tiny.yaml"}
QUESTIONS = [Question(f"q{at}", "daily life", f"Should {thing} be banned?") for at, thing in enumerate(("zoos", "fireworks", "cars"))]
PROMPTS = Source(["a", "b", "c"], ["Should zoos be banned?", "what is the capital of france", "i think taxes are too high"])
ENGINE: TypeAdapter[EngineConfig] = TypeAdapter(EngineConfig)
PROBES = ProbeBuild(probe_set="mine", topics=2, per_topic=2, seed=3, source="mine.csv")


def study_keys(name: str, root: Path) -> Iterator[tuple[str, str]]:
    """Keys of all stages of a study; a checkpoint's weights are stood for by their run and step."""
    work = StudyWork(load_study(STUDIES[name]), str(root))
    stances = []
    for run in work.plan.runs:
        base = work.base(run.model)[1]
        yield f"{name} base {run.model_name}", base
        yield (
            f"{name} train {run.run_id}",
            fingerprint(train_identity(work, run, f"{run.parent_run_id}@last" if run.parent_run_id else base)),
        )
        for step in run.steps:
            sampled = fingerprint(sample_identity(work, f"{run.run_id}@{step}"))
            judged = fingerprint(stance_identity(work.study.judges[0], sampled))
            stances.append(judged)
            yield f"{name} sample {run.run_id} {step}", sampled
            yield f"{name} judge {run.run_id} {step}", judged
    assert work.study.audit is not None
    for run in {run.dataset_name: run for run in work.plan.runs}.values():
        yield f"{name} audit {run.dataset_name}", fingerprint(audit_identity(work, run.dataset, run.kind, work.auditor, work.study.audit))
    yield f"{name} probes", work.probes_fingerprint
    yield f"{name} analyze", fingerprint(analysis_identity(work, stances))
    yield f"{name} correct", fingerprint(correction_identity(work, stances, ["labels of ann", "labels of bob"]))


def judge_keys() -> Iterator[tuple[str, str]]:
    """Keys of one part judged by judges of each type."""
    judges = {
        "cross-encoder": JUDGE.validate_python({"type": "cross-encoder"}),
        "causal-lm": JUDGE.validate_python({"type": "causal-lm", "rotations": 3}),
        "openai": JUDGE.validate_python({"type": "openai", "model": "gpt-4o"}),
        "openai votes": JUDGE.validate_python({"type": "openai", "model": "gpt-4o", "method": "votes", "votes": 3}),
    }
    for name, judge in judges.items():
        yield f"judge {name}", fingerprint(stance_identity(judge, "answers"))
    yield "panel", fingerprint(panel_identity(Panel(members=("a", "b"), weights={"a": 2.0}), ["stances of a", "stances of b"]))
    yield "panel of judges", fingerprint(stance_identity(Panel(members=(judges["cross-encoder"], judges["causal-lm"])), "answers"))


def synthesis_keys(root: Path) -> Iterator[tuple[str, str]]:
    writers: dict[str, EngineConfig | None] = {
        "starter": None,
        "transformers": ENGINE.validate_python({"type": "transformers", "model": "embedded:smollm2-135m-instruct"}),
        "openai": ENGINE.validate_python({"type": "openai", "model": "gpt-4o"}),
    }
    for name, writer in writers.items():
        synthesis = Synthesis(name="s", dial=Dial(setting=Setting.SUPPORT_ALIGNED, gap=0.4, seed=1), writer=writer)
        questions = QUESTIONS if writer else starter_questions()[:5]
        for stage, key in keys_of(synthesis_stages(Work(str(root), Runtime()), questions, synthesis)):
            what = "pairs" if stage.name == "choose pairs" else f"{stage.name} {stage.what.split()[0]}"
            yield f"synthesis {name} {what}", key


def probe_keys(root: Path) -> Iterator[tuple[str, str]]:
    for stage, key in keys_of(probe_stages(Work(str(root), Runtime()), PROMPTS, PROBES)):
        yield f"probes {'build' if stage.name == 'choose' else stage.name}", key


def keys_of(stages: Sequence[Stage]) -> Iterator[tuple[Stage, str]]:
    """The keys of stages whose identities hang on the keys of others alone."""
    references: dict[Stage, Reference] = {}
    for stage in stages:
        references[stage] = Reference(key=fingerprint(dict(stage.identity([references[need] for need in stage.needs]))))
        yield stage, references[stage].key


def all_keys(root: Path) -> dict[str, str]:
    """Every key, by what it is of."""
    audit = AuditOptions(rows=300)
    found = {"audit options": fingerprint(audit.model_dump(mode="json"))}
    for name in STUDIES:
        found.update(study_keys(name, root))
    found.update(judge_keys())
    found.update(synthesis_keys(root))
    found.update(probe_keys(root))
    return found


@pytest.mark.parametrize("family", ["demo", "tiny", "judge", "panel", "synthesis", "probes", "audit"])
def test_no_key_of_version_0_2_changes(family: str, keys: dict[str, str]) -> None:
    frozen = {name: key for name, key in json.loads(FROZEN.read_text(encoding="utf-8")).items() if name.split()[0] == family}
    assert frozen
    assert {name: keys.get(name) for name in frozen} == frozen


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return all_keys(tmp_path_factory.mktemp("root"))
