"""A cascade in a study file: who reads what, what a plan tells of it, and what cannot be, refused before anything is read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from valuedrift.errors import UserError
from valuedrift.judges.cascade import Cascade
from valuedrift.judges.network.weights import weights_folder
from valuedrift.judges.registry import JUDGE
from valuedrift.study import Study, load_study
from valuedrift.study.reading import reading
from valuedrift.tasks.stages.cascade import cascade_identity, share_of
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

QUICK = {"type": "cross-encoder", "name": "quick"}
DEEP = {"type": "openai", "name": "deep", "model": "gpt-4o"}
BOTH = {"type": "cascade", "name": "both", "cheap": "quick", "strong": "deep", "share": 0.1}


def loaded(folder: Path, *judges: dict[str, Any], **changes: Any) -> Study:
    content = {
        "study": "s",
        "probes": {"topics": ["immigration", "religion"], "per_topic": 10},
        "engine": {"type": "openai", "base_url": "http://127.0.0.1:9/v1"},
        "served": {"mine": {0: "base", 50: "mine-50", 100: "mine-100"}},
        "sampling": {"n": 2},
        "judges": list(judges),
        **changes,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump({name: value for name, value in content.items() if value is not None}))
    return load_study(folder / "study.yaml")


def test_the_strong_judge_reads_the_sample_alone(tmp_path: Path) -> None:
    study = loaded(tmp_path, BOTH, QUICK, DEEP)
    assert [judge.name for judge in study.judges_in_order] == ["quick", "deep", "both"]
    assert [judge.name for judge in study.reading_all] == ["quick"]
    work = StudyWork(study, str(tmp_path / "root"))
    stages = stages_of(work)
    by = [stage.result.slot for stage in stages if stage.name == "judge"]
    assert sorted(set(by)) == ["both", "quick"] and by.count("both") == 3
    assert work.auditor.name == "quick" and work.facts.cascades == {"both": ("quick", "deep")} and work.facts.panels == {}
    both = next(stage for stage in stages if stage.result.slot == "both")
    assert [need.name for need in both.needs] == ["sample", "judge"]


def test_a_panel_may_be_the_cheap_judge_in_any_order(tmp_path: Path) -> None:
    panel = {"type": "panel", "name": "jury", "members": ["quick", "other"]}
    study = loaded(tmp_path, {**BOTH, "cheap": "jury"}, panel, QUICK, {**QUICK, "name": "other"}, DEEP)
    assert [judge.name for judge in study.judges_in_order][-2:] == ["jury", "both"]
    assert {stage.result.slot for stage in stages_of(StudyWork(study, str(tmp_path / "root"))) if stage.name == "judge"} == {
        "quick",
        "other",
        "jury",
        "both",
    }


@pytest.mark.parametrize(
    ("judges", "expected"),
    [
        ([{**BOTH, "cheap": "deep"}, QUICK, DEEP], "cheap and strong are both 'deep'"),
        ([{**BOTH, "share": 0}, QUICK, DEEP], "share 0 is no share"),
        ([{**BOTH, "share": 1.5}, QUICK, DEEP], "share 1.5 is no share"),
        ([{**BOTH, "share": -0.1}, QUICK, DEEP], "above 0, 1 at most"),
        ([{**BOTH, "share": float("nan")}, QUICK, DEEP], "is no share"),
        ([{**BOTH, "budget": 100}, QUICK, DEEP], "either a `share` of the answers"),
        ([{**BOTH, "share": None}, QUICK, DEEP], "either a `share` of the answers"),
        ([{**BOTH, "share": None, "budget": 0}, QUICK, DEEP], "budget"),
        ([{**BOTH, "strong": "depe"}, QUICK, DEEP], "did you mean 'deep'"),
        ([{**BOTH, "cheap": "quikc"}, QUICK, DEEP], "did you mean 'quick'"),
        ([{**BOTH, "name": "deep"}, QUICK, DEEP], "strong is the cascade itself"),
        (
            [{**BOTH, "cheap": "more"}, QUICK, DEEP, {**BOTH, "name": "more"}],
            "'more' is not among judges of the study that cascade 'both' can name",
        ),
        ([BOTH, QUICK, DEEP, {"type": "panel", "members": ["both", "quick"]}], "'both' is not among judges that panel 'panel' can use"),
        ([BOTH, QUICK, DEEP, {"type": "panel", "members": ["deep", "quick"]}], "'deep' is not among judges that panel 'panel' can use"),
        ([DEEP, BOTH, QUICK], "'deep' reads nothing but the sample of cascade 'both': name the cascade first"),
        ([BOTH, DEEP, {**BOTH, "name": "turned", "cheap": "deep", "strong": "quick"}, QUICK], "can name as cheap"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, judges: list[dict[str, Any]], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        loaded(tmp_path, *({name: value for name, value in judge.items() if value is not None} for judge in judges))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"share": 0.01}, "share 0.01 is less than one answer of a topic at a checkpoint (0.2 of 20)"),
        ({"budget": 3}, "at least budget: 6"),
        ({"budget": 5}, "budget 5 is less than one answer"),
    ],
)
def test_less_than_an_answer_a_topic_says_nothing(tmp_path: Path, size: dict[str, Any], expected: str) -> None:
    both = {name: value for name, value in BOTH.items() if name != "share"}
    study = loaded(tmp_path, {**both, **size}, QUICK, DEEP)
    with pytest.raises(UserError) as caught:
        stages_of(StudyWork(study, str(tmp_path / "root")))
    assert expected in str(caught.value)


def test_a_judge_under_two_names_is_no_cascade(tmp_path: Path) -> None:
    shutil.copytree(weights_folder("embedded"), tmp_path / "copy")
    for keys in ({}, {"weights": "embedded"}, {"weights": str(tmp_path / "copy")}):
        study = loaded(tmp_path, BOTH, QUICK, {**QUICK, "name": "deep", **keys})
        with pytest.raises(UserError, match="'quick' and 'deep' are the same judge under two names"):
            stages_of(StudyWork(study, str(tmp_path / "root")))
    study = loaded(tmp_path, BOTH, QUICK, {**QUICK, "name": "deep", "weights": "embedded-2"})
    assert stages_of(StudyWork(study, str(tmp_path / "root")))


def test_a_budget_is_a_share_of_all_answers_and_not_for_series(tmp_path: Path) -> None:
    both = {**{name: value for name, value in BOTH.items() if name != "share"}, "budget": 30}
    work = StudyWork(loaded(tmp_path, both, QUICK, DEEP), str(tmp_path / "root"))
    assert share_of(work, work.study.cascades[0]) == pytest.approx(30 / (3 * 20 * 2))
    (tmp_path / "checkpoints").mkdir()
    series = {"engine": None, "served": None, "series": {"mine": {"source": str(tmp_path / "checkpoints")}}}
    work = StudyWork(loaded(tmp_path, both, QUICK, DEEP, **series), str(tmp_path / "root"))
    with pytest.raises(UserError, match="not known yet"):
        share_of(work, work.study.cascades[0])


def test_it_judges_no_single_answers_and_is_read_back() -> None:
    cascade = Cascade(cheap="a", strong="b", share=0.05)
    assert JUDGE.validate_json(cascade.model_dump_json()) == cascade
    assert JUDGE.validate_python(cascade.model_dump(mode="json", exclude_defaults=True)) == cascade
    with pytest.raises(UserError, match="no verdict on single answers"):
        cascade.load()


def test_its_identity_is_who_reads_what_and_how_much() -> None:
    deep, other = (JUDGE.validate_python({**DEEP, "model": model}) for model in ("gpt-4o", "gpt-5"))
    own = cascade_identity(deep, 0.1, "answers", "stances")
    renamed = cascade_identity(deep.model_copy(update={"name": "x"}), 0.1, "answers", "stances")
    assert renamed == own
    others = [
        (other, 0.1, "answers", "stances"),
        (deep, 0.2, "answers", "stances"),
        (deep, 0.1, "x", "stances"),
        (deep, 0.1, "answers", "x"),
    ]
    assert all(cascade_identity(*one) != own for one in others)  # type: ignore[arg-type]


def test_a_larger_share_shows_a_smaller_drift() -> None:
    sizes = [reading(share, prompts=50, samples=5, answers=250 * 44, everything=None) for share in (0.001, 0.02, 0.1, 0.5, 1.0)]
    assert sizes[0].smallest is None and "shows no drift" in sizes[0].words()
    smallest = [size.smallest for size in sizes[1:]]
    assert smallest == sorted(smallest, reverse=True) and all(a.smallest_helped < a.smallest for a in sizes[1:-1])  # type: ignore[operator, type-var]
    assert sizes[-1].smallest_helped == sizes[-1].smallest and [size.answers for size in sizes] == [11, 220, 1100, 5500, 11000]


def test_a_plan_says_which_share_shows_what_for_how_much(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("gpt-4o: {input: 2.5, output: 10}\n")
    loaded(tmp_path, BOTH, QUICK, {**DEEP, "budget": {"usd": 0.0001, "prices": str(tmp_path / "prices.yaml")}})
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", "plan", "study.yaml", "--root", str(tmp_path / "root")]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    lines = [line for line in said.stdout.splitlines() if "of the answers:" in line]
    assert "judge both: deep reads a sample by the doubt of quick, 0.1 of the answers: 12, 2 of a topic and checkpoint" in lines[0]
    assert "requests at most" in lines[0] and "$" in lines[0] and len(lines) >= 3
    assert "judge deep:" not in said.stdout and "may not be enough" in said.stdout
    plain = json.loads(subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=120).stdout)
    sizes = plain["cascades"]["both"]
    assert sizes[0]["share"] == 0.1 and sizes[0]["usd"] < sizes[-1]["usd"] and sizes[-1]["smallest_drift"] < sizes[0]["smallest_drift"]
