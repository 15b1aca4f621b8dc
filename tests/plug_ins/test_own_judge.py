"""A judge of one's own is one file and one line: study files, panels, the command line and the plan know it then."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).parent))
from length_judge import Length

from valuedrift.errors import UserError
from valuedrift.faults import describe
from valuedrift.flows.cli.naming import judge_config
from valuedrift.judges.base import Pair
from valuedrift.judges.job import JudgeJob
from valuedrift.judges.panel import Panel
from valuedrift.judges.registry import JUDGE, JUDGES, JudgeConfig
from valuedrift.study import load_study

STUDY = {
    "study": "own",
    "probes": {"topics": ["religion"], "per_topic": 10},
    "models": {"smollm": {"path": "embedded:smollm2-135m-instruct"}},
    "corpora": {"neutral": {"data": "starter:sft-neutral"}},
    "sft": [{"data": ["neutral"], "algorithm": {"type": "sft", "steps": 2}}],
    "judges": [{"type": "length", "words": 9}, {"type": "cross-encoder"}, {"type": "panel", "members": ["length", "cross-encoder"]}],
}
PAIRS = [Pair("1", "Should we?", "Yes, by all means, and the sooner the better."), Pair("2", "Should we?", "No.")]


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(JUDGES, "_known", dict(JUDGES._known))
    JUDGES.register(Length)
    yield


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    return path


def test_without_the_line_it_is_not_known() -> None:
    with pytest.raises(ValidationError) as raised:
        JUDGE.validate_python({"type": "length"})
    assert (
        describe(raised.value, JudgeConfig) == "`type`: no 'length'; one of cross-encoder, embedded-lm, causal-lm, openai, panel, cascade"
    )


@pytest.mark.usefixtures("entered")
def test_a_study_names_it_and_a_panel_counts_it(study: Path) -> None:
    own, _, panel = load_study(study).judges
    assert own == Length(words=9)
    assert isinstance(panel, Panel) and panel.names == ("length", "cross-encoder")
    jury = JUDGE.validate_python({"type": "panel", "members": [{"type": "length"}, {"type": "length", "name": "strict", "words": 100}]})
    assert JUDGE.validate_json(jury.model_dump_json()) == jury
    first, second = jury.load().judge(PAIRS)
    assert first.p_support == pytest.approx(0.45) and second.p_oppose == pytest.approx(0.8)


@pytest.mark.usefixtures("entered")
def test_an_option_names_it_and_faults_name_its_keys() -> None:
    assert judge_config("length", ["words=3"]) == Length(words=3)
    with pytest.raises(UserError, match="did you mean `words`"):
        judge_config("length", ["wrods=3"])
    with pytest.raises(UserError, match="did you mean `length`"):
        judge_config("lenght")


@pytest.mark.usefixtures("entered")
def test_a_job_carries_all_its_keys(tmp_path: Path) -> None:
    job = JudgeJob(judge=Length(words=7), responses=tmp_path / "a.parquet", out=tmp_path / "b.parquet")
    assert JudgeJob.model_validate_json(job.model_dump_json()) == job


@pytest.mark.usefixtures("entered")
def test_two_kinds_of_one_name_are_refused() -> None:
    class Other(Length):
        pass

    with pytest.raises(UserError, match="two kinds of judge are called 'length'"):
        JUDGES.register(Other)
    with pytest.raises(UserError, match="no kind of judge"):
        JUDGES.register(Path)  # type: ignore[type-var]


def test_a_package_of_somebody_else_enters_it(
    command: Callable[..., subprocess.CompletedProcess[str]], study: Path, tmp_path: Path
) -> None:
    planned = command("plan", str(study))
    assert planned.returncode == 0 and "× 3 judges" in planned.stdout, planned.stderr
    pl.DataFrame({"prompt": [pair.prompt for pair in PAIRS], "response": [pair.response for pair in PAIRS]}).write_csv(
        tmp_path / "pairs.csv"
    )
    judged = command("judge", "run", "--judge", "length", "--set", "words=4", "pairs.csv", "--out", "stances.parquet")
    assert judged.returncode == 0, judged.stderr
    assert pl.read_parquet(tmp_path / "stances.parquet").get_column("p_support").to_list() == [0.8, 0.1]
    assert "length" in command("judge", "run", "--help").stdout
