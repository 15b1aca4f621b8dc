"""The first minutes: version, help, a study file to start from, the packaged studies; and old names of options."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import valuedrift

ROOT = Path(__file__).resolve().parents[2]


def called(*arguments: str, cwd: Path, columns: int = 100) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": str(columns)})


def test_version_and_changelog_agree(tmp_path: Path) -> None:
    assert called("--version", cwd=tmp_path).stdout.strip() == f"valuedrift {valuedrift.__version__}"
    newest = re.search(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None and newest[1] == valuedrift.__version__


def test_help_lists_the_commands_in_the_order_of_use(tmp_path: Path) -> None:
    shown = called("--help", cwd=tmp_path).stdout
    names = re.findall(r"^│ (\w+)  ", shown.partition("Commands")[2], re.MULTILINE)
    assert names[:6] == ["plan", "run", "watch", "status", "explain", "report"]
    data = ["analyze", "sql", "tables", "checkpoints", "sample", "judge", "labels", "audit", "attribute", "synthesize", "probes"]
    assert names[6:] == [*data, "deploy", "automations", "init", "demo"]


def test_init_writes_a_study_that_can_be_planned_and_overwrites_nothing(tmp_path: Path) -> None:
    done = called("init", "mine.yaml", cwd=tmp_path)
    assert done.returncode == 0 and "valuedrift plan mine.yaml" in done.stdout
    text = (tmp_path / "mine.yaml").read_text(encoding="utf-8")
    assert "\nstudy: mine\n" in text and "FILE" not in text.partition("study:")[0]
    plan = called("plan", "mine.yaml", cwd=tmp_path)
    assert plan.returncode == 0 and "2 runs, 6 checkpoints" in plan.stdout and "unknown" not in plan.stdout
    again = called("init", "mine.yaml", cwd=tmp_path)
    assert again.returncode == 2 and "there already" in again.stderr
    assert (tmp_path / "mine.yaml").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("file", "message"), [("Mine.yaml", "lower-case"), ("mine.json", "written as YAML"), ("no/mine.yaml", "no such folder")]
)
def test_init_refuses_a_name_that_no_study_can_have(tmp_path: Path, file: str, message: str) -> None:
    done = called("init", file, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.slow
def test_the_study_that_init_writes_runs(tmp_path: Path) -> None:
    """With smaller numbers than it has, which take minutes."""
    assert called("init", cwd=tmp_path).returncode == 0
    text = (tmp_path / "study.yaml").read_text(encoding="utf-8")
    for large, small in (
        ("per_topic: 6", "per_topic: 2"),
        ("steps: 6", "steps: 1"),
        ("steps: 4", "steps: 1"),
        ("max_new_tokens: 24", "max_new_tokens: 8"),
        ("rows: 40", "rows: 6"),
        ("max_length: 112", "max_length: 48"),
    ):
        assert large in text
        text = text.replace(large, small)
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", "run", "study.yaml", "--root", "root"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=590, env={**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "root/reports/study/report.html").exists()


def test_the_demo_of_the_repository_is_the_packaged_one() -> None:
    deployed, packaged = ROOT / "deployments/studies/demo.yaml", ROOT / "valuedrift/data/studies/demo.yaml"
    assert deployed.read_bytes() == packaged.read_bytes()


def test_the_old_name_of_the_reports_folder_works_and_hints_at_the_new_one(tmp_path: Path) -> None:
    assert called("init", cwd=tmp_path).returncode == 0
    old, new = (called("report", "study.yaml", option, "s3://nowhere/r", cwd=tmp_path) for option in ("--out", "--report"))
    assert "note: `--out` is now `--report`" in old.stderr and "note" not in new.stderr
    assert old.returncode == new.returncode == 2 and old.stderr.endswith(new.stderr)
