"""The whole of PRISM to 550 probes: what docs/probes.md says of it, printed again, and what must hold of any build."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import psutil
import pytest

from valuedrift.probes.vprism.embed import Encoder

pytestmark = [pytest.mark.figures, pytest.mark.slow]


def test_550_probes_in_eleven_topics(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = shared_data / "prism/issuebench_prism_prompts.csv"
    out, why = tmp_path / "probes.parquet", tmp_path / "why.parquet"
    columns = ("--column", "user_prompt", "--id-column", "id", "--topics", "11", "--per-topic", "50")
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", "probes", "build", "--source", str(source), *columns]
    before = _children_seconds()
    done = subprocess.run(
        [*command, "--out", str(out), "--decisions", str(why), "--root", str(tmp_path / "root")],
        env={**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    seconds = _children_seconds() - before
    probes, decisions = pl.read_parquet(out), pl.read_parquet(why)
    questions = probes.get_column("prompt").to_list()
    rows = Encoder().encode(questions)
    cosines = rows @ rows.T
    cosines[range(len(rows)), range(len(rows))] = 0.0
    words = [len(question.split()) for question in questions]
    open_ = sum(question.startswith(("What ", "How ")) for question in questions)
    with capsys.disabled():
        print(f"\n{done.stdout}")
        print(
            f"{seconds:.0f} s of CPU time; words {min(words)} to {max(words)}; {open_} open questions; largest cosine {cosines.max():.3f}"
        )
        print(f"polarity known of {probes.get_column('polarity').count()}")
    assert decisions.height == 7393
    assert probes.group_by("topic").len().get_column("len").to_list() == [50] * 11
    assert all(question.endswith("?") for question in questions) and cosines.max() <= 0.9


def _children_seconds() -> float:
    times = psutil.Process().cpu_times()
    return times.children_user + times.children_system
