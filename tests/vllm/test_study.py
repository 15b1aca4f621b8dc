"""A whole study whose checkpoints vLLM samples, by the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from valuedrift.storage.store import Store

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(1500)]


def test_a_study_from_weights_to_drift(tmp_path: Path) -> None:
    root = tmp_path / "root"
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", "run", str(Path(__file__).parent / "study.yaml"), "--root", str(root)]
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "160"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1400)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    store = Store(root)
    responses = store.read("responses", study="small")
    assert set(responses["engine"]) == {"vllm"}
    assert responses.group_by("run_id", "step").len()["len"].to_list() == [8] * len(responses.select("run_id", "step").unique())
    assert responses["step"].n_unique() >= 2
    assert store.read("stances", study="small").height == responses.height
    assert store.read("drift", study="small").height > 0
