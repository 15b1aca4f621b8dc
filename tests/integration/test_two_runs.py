"""Two runs of one study on one root, started together: nothing is made twice, and the tables are those of one run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from valuedrift.storage.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

STUDY = Path(__file__).parent / "tiny.yaml"
MADE_BY_CHILDREN = ("train", "sample", "judge", "audit")


def test_two_runs_started_together_share_the_work(tmp_path: Path) -> None:
    def start(name: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PREFECT_HOME": str(tmp_path / name), "HF_HUB_OFFLINE": "1", "COLUMNS": "160"}
        command = [sys.executable, "-m", "valuedrift.flows.cli.main", "run", str(STUDY), "--root", str(tmp_path / "root")]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    runs = [start("one"), start("two")]
    said = [run.communicate(timeout=800)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    done = [line.split("done ", 1)[1].rsplit(" ", 2)[0] for output in said for line in output.splitlines() if " done " in line]
    made = [label for label in done if label.split()[0] in MADE_BY_CHILDREN]
    assert len(made) == len(set(made)) == 2 + 5 + 5 + 2, made  # trainings, distinct checkpoints sampled and judged, datasets
    store = Store(tmp_path / "root")
    training = store.read("training", study="tiny")
    assert training.select("run_id", "step").is_duplicated().sum() == 0 and training.height
    assert store.read("stances", study="tiny").filter(pl.col("status") == "ok").height > 0
    check = [sys.executable, "-m", "valuedrift.flows.cli.main", "tables", "check", "--root", str(tmp_path / "root")]
    assert subprocess.run(check, capture_output=True, text=True, timeout=100).returncode == 0
