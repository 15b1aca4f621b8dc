"""A study with two judges and a panel of them, through the command line and the flow: the panel's stances come from its members', without judging."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from storage.store import Store
from valuedrift.judges.weights import WEIGHTS_FILE, weights_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STUDY = """
study: jury
probes: {set: starter, topics: [immigration], per_topic: 2}
models: {smollm: {path: "embedded:smollm2-135m-instruct", parameters: 1.35e8}}
corpora: {neutral: {data: "starter:sft-neutral", limit: 8}}
sft:
  - {data: [neutral], algorithm: {type: sft, steps: 1, batch_size: 2, max_length: 48, learning_rate: 1.0e-3, lora: {r: 4}}}
checkpoints: {type: log, points: 2}
sampling: {n: 2, temperature: 0.7, max_new_tokens: 8}
judges:
  - {type: panel, members: [cross-encoder, doubtful]}
  - {type: cross-encoder}
  - {type: cross-encoder, name: doubtful, weights: other}
analysis: {resamples: 200}
runtime: {workers: 1, threads: 1}
"""
P = ("p_support", "p_neutral", "p_oppose")


def valuedrift(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect"), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "flows.cli.main", *arguments, "--root", str(folder / "root")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800)


def test_a_panel_in_a_study(tmp_path: Path) -> None:
    (tmp_path / "jury.yaml").write_text(STUDY, encoding="utf-8")
    (tmp_path / "other").mkdir()
    for name in (WEIGHTS_FILE, "judge.json"):
        (tmp_path / "other" / name).write_bytes((weights_folder("embedded") / name).read_bytes())
    description = json.loads((tmp_path / "other" / "judge.json").read_text())
    (tmp_path / "other" / "judge.json").write_text(json.dumps({**description, "temperature": 9.0}))

    first = valuedrift(tmp_path, "run", str(tmp_path / "jury.yaml"))
    assert first.returncode == 0, first.stdout + first.stderr
    store = Store(tmp_path / "root")
    stances = store.read("stances", study="jury").sort("run_id", "step", "prompt_id", "sample_idx")
    assert set(stances.get_column("judge")) == {"panel", "cross-encoder", "doubtful"}
    by = {name: stances.filter(pl.col("judge") == name) for name in ("panel", "cross-encoder", "doubtful")}
    mean = sum(by[name].select(P).to_numpy() for name in ("cross-encoder", "doubtful")) / 2  # type: ignore[misc]
    difference = by["panel"].select(P).to_numpy() - mean
    assert by["panel"].height == 2 * 2 * 2 and abs(difference[by["panel"].get_column("status") == "ok"]).max() < 1e-6
    assert (by["panel"].get_column("status") == by["cross-encoder"].get_column("status")).all()
    for table in ("trajectory", "drift"):
        assert set(store.read(table, study="jury").get_column("judge")) == {"panel", "cross-encoder", "doubtful"}

    page = (tmp_path / "root" / "reports" / "jury" / "report.html").read_text(encoding="utf-8")
    assert "Krippendorff" in page and "doubtful" in page
    again = valuedrift(tmp_path, "run", str(tmp_path / "jury.yaml"))
    assert "nothing to do" in again.stdout, again.stdout + again.stderr
    assert valuedrift(tmp_path, "tables", "check").returncode == 0

    (tmp_path / "jury.yaml").write_text(
        STUDY.replace("members: [cross-encoder, doubtful]", "members: [doubtful, cross-encoder], weights: {doubtful: 3}")
    )
    told = valuedrift(tmp_path, "explain", str(tmp_path / "jury.yaml"))
    assert (told.stdout.count(" panel ") >= 2 and "1.0 → 3.0" in told.stdout) or "3.0" in told.stdout
