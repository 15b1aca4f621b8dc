"""A study may have its datasets audited by another of its judges than the first, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.report.inputs import _known_gaps
from valuedrift.results.facts import facts_of, study_fingerprint
from valuedrift.study import Study, load_study
from valuedrift.tasks.stages.audit import audit_identity
from valuedrift.tasks.study_work import StudyWork

JUDGES: list[dict[str, Any]] = [
    {"type": "cross-encoder"},
    {"type": "openai", "name": "served", "model": "m", "base_url": "http://127.0.0.1:1/v1"},
]


def loaded(folder: Path, **changes: Any) -> Study:
    content = {
        "study": "audited",
        "models": {"m": {"path": "embedded:smollm2-135m-instruct"}},
        "preferences": {"known": {"data": "starter:preference-support"}, "style": {"data": "starter:preference-style"}},
        "preference": [{"data": ["known"], "algorithm": {"type": "dpo", "steps": 2}, "after": ["base"]}],
        "judges": JUDGES,
        **changes,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_study(folder / "study.yaml")


def audit_key(study: Study, root: Path) -> str:
    work = StudyWork(study, str(root))
    assert study.audit is not None
    [run] = work.plan.runs
    return fingerprint(audit_identity(work, run.dataset, run.kind, work.auditor, study.audit))


def test_the_first_judge_audits_unless_another_is_named(tmp_path: Path) -> None:
    before, first = loaded(tmp_path), loaded(tmp_path, audit={"rows": 300, "auditor": "cross-encoder"})
    second = loaded(tmp_path, audit={"rows": 300, "auditor": "served"})
    assert (before.auditor.name, first.auditor.name, second.auditor.name) == ("cross-encoder", "cross-encoder", "served")
    assert (facts_of(before).auditor, facts_of(second).auditor) == ("cross-encoder", "served")
    assert audit_key(before, tmp_path) == audit_key(first, tmp_path) != audit_key(second, tmp_path)
    assert study_fingerprint(before) == study_fingerprint(loaded(tmp_path, audit={"rows": 300}))


def test_it_is_one_of_the_judges_that_read_every_answer(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="servd"):
        loaded(tmp_path, audit={"auditor": "servd"})
    cascade = {"type": "cascade", "cheap": "cross-encoder", "strong": "served", "share": 0.1}
    with pytest.raises(UserError, match="served"):
        loaded(tmp_path, judges=[cascade, *JUDGES], audit={"auditor": "served"})


def test_the_report_knows_the_gap_of_packaged_sets_from_the_study_file(tmp_path: Path) -> None:
    study = loaded(tmp_path, preferences={"known": {"data": "starter:preference-oppose"}, "own": {"data": str(tmp_path / "pairs.jsonl")}})
    assert _known_gaps(facts_of(study).file) == {"known": 1.0}
    assert _known_gaps("") == {}
