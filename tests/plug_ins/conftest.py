from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs ``valuedrift`` where a package of somebody else is installed that enters the judges and engines of this folder."""
    site = tmp_path / "site"
    information = site / "own-1.0.dist-info"
    information.mkdir(parents=True)
    for name in ("length_judge.py", "echo_engine.py"):
        shutil.copy(Path(__file__).parent / name, site)
    entered = "[valuedrift.judges]\nlength = length_judge:Length\n[valuedrift.engines]\necho = echo_engine:EchoConfig\n"
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n", encoding="utf-8")
    (information / "entry_points.txt").write_text(entered, encoding="utf-8")
    repository = Path(__file__).parents[2]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments],
            env={**os.environ, "PYTHONPATH": f"{site}:{repository}", "COLUMNS": "200", "PREFECT_HOME": str(tmp_path / "prefect")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=500,
        )

    return run
