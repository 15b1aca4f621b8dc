"""The engine and the judge of this folder, installed as somebody else's package for processes that a test starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_HERE = Path(__file__).parent
_ENTERED = "[valuedrift.judges]\nlength = length_judge:Length\n[valuedrift.engines]\necho = echo_engine:EchoConfig\n"


def installed(folder: Path) -> dict[str, str]:
    """An environment in which they are installed, with Prefect's files in the folder too."""
    site = folder / "site"
    information = site / "own-1.0.dist-info"
    information.mkdir(parents=True)
    for name in ("length_judge.py", "echo_engine.py"):
        shutil.copy(_HERE / name, site)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n", encoding="utf-8")
    (information / "entry_points.txt").write_text(_ENTERED, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": f"{site}:{_HERE.parents[1]}", "COLUMNS": "200", "PREFECT_HOME": str(folder / "prefect")}
