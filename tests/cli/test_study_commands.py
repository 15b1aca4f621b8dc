"""plan, status and explain as a person calls them: nothing is run, nothing is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).resolve().parents[2] / "deployments" / "studies"


def valuedrift(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "valuedrift.flows.cli.main", *arguments], capture_output=True, text=True, timeout=120)


def test_plan_shows_the_tree_the_costs_and_the_smallest_visible_drift() -> None:
    done = valuedrift("plan", str(STUDIES / "demo.yaml"))
    assert done.returncode == 0, done.stderr
    for part in ("smollm.sft-neutral.dpo-support-aligned", "checkpoints at 0, 1", "tokens", "you can see a drift of"):
        assert part in done.stdout


def test_plan_of_the_paper_needs_no_hub() -> None:
    done = valuedrift("plan", str(STUDIES / "paper.yaml"))
    assert done.returncode == 0, done.stderr
    assert "328 runs" in done.stdout and "GPU-hours" in done.stdout and "with 50 prompts × 5 samples" in done.stdout


@pytest.mark.parametrize(
    ("text", "code", "part"), [(None, 2, "no such study file"), ("", 2, "empty"), ("study: x\n", 2, "missing key `models`")]
)
def test_a_bad_study_is_one_message(tmp_path: Path, text: str | None, code: int, part: str) -> None:
    path = tmp_path / "study.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    for command in ("plan", "run"):
        done = valuedrift(command, str(path))
        assert done.returncode == code
        assert part in done.stderr and "Traceback" not in done.stderr + done.stdout


def test_status_of_a_root_without_studies(tmp_path: Path) -> None:
    done = valuedrift("status", "--root", str(tmp_path / "nothing"))
    assert done.returncode == 0 and "studies in" in done.stdout
    assert not (tmp_path / "nothing").exists()


def test_wrong_use_is_told_without_a_traceback() -> None:
    done = valuedrift("trase")
    assert done.returncode == 2 and "Traceback" not in done.stderr and "trase" in done.stderr
