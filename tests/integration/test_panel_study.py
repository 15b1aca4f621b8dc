"""A study with two judges and a panel of them, through the command line and the flow; then people label it, a judge is calibrated on that, and it runs again.

The panel's stances come from its members', without judging; labels correct every judge's drift; a calibrated judge reads the answers that are there.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from valuedrift.judges.calibrated import Calibration
from valuedrift.judges.network.weights import WEIGHTS_FILE, weights_folder
from valuedrift.storage.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STUDY = """
study: jury
probes: {set: starter, topics: [immigration], per_topic: 12}
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
audit: null
analysis: {resamples: 200}
runtime: {workers: 1, threads: 1}
"""
CALIBRATED = "  - {type: cross-encoder, name: calibrated, calibration: calibration.json}\n"
P = ("p_support", "p_neutral", "p_oppose")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jury")


@pytest.fixture(scope="module")
def valuedrift(folder: Path) -> Run:
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect"), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments, "--root", str(folder / "root")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, cwd=folder)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def store(folder: Path, valuedrift: Run) -> Store:
    """The study as it ran first."""
    (folder / "jury.yaml").write_text(STUDY, encoding="utf-8")
    (folder / "other").mkdir()
    for name in (WEIGHTS_FILE, "judge.json"):
        (folder / "other" / name).write_bytes((weights_folder("embedded") / name).read_bytes())
    description = json.loads((folder / "other" / "judge.json").read_text())
    (folder / "other" / "judge.json").write_text(json.dumps({**description, "temperature": 9.0}))
    valuedrift("run", "jury.yaml")
    return Store(folder / "root")


def test_a_panel_in_a_study(folder: Path, store: Store, valuedrift: Run) -> None:
    stances = store.read("stances", study="jury").sort("run_id", "step", "prompt_id", "sample_idx")
    assert set(stances.get_column("judge")) == {"panel", "cross-encoder", "doubtful"}
    by = {name: stances.filter(pl.col("judge") == name) for name in ("panel", "cross-encoder", "doubtful")}
    mean = sum(by[name].select(P).to_numpy() for name in ("cross-encoder", "doubtful")) / 2  # type: ignore[misc]
    difference = by["panel"].select(P).to_numpy() - mean
    assert by["panel"].height == 2 * 12 * 2 and abs(difference[by["panel"].get_column("status") == "ok"]).max() < 1e-6
    assert (by["panel"].get_column("status") == by["cross-encoder"].get_column("status")).all()
    for table in ("trajectory", "drift"):
        assert set(store.read(table, study="jury").get_column("judge")) == {"panel", "cross-encoder", "doubtful"}
    assert not store.entries("drift_corrected", "jury")

    page = (folder / "root" / "reports" / "jury" / "report.html").read_text(encoding="utf-8")
    assert "Krippendorff" in page and "doubtful" in page and 'id="labels"' not in page
    assert "nothing to do" in valuedrift("run", "jury.yaml").stdout

    weighed = STUDY.replace("members: [cross-encoder, doubtful]", "members: [doubtful, cross-encoder], weights: {doubtful: 3}")
    (folder / "weighed.yaml").write_text(weighed, encoding="utf-8")
    told = valuedrift("explain", "weighed.yaml").stdout
    assert told.count(" panel ") >= 2 and "3.0" in told


def test_people_label_it_a_judge_is_calibrated_and_it_runs_again(folder: Path, store: Store, valuedrift: Run) -> None:
    answers = store.read("responses", study="jury").height
    valuedrift("labels", "draw", "jury.yaml", "--judge", "cross-encoder", "--n", "1000", "--out", "sheet.csv")
    with (folder / "sheet.csv").open(encoding="utf-8-sig", newline="") as stream:
        sheet = list(csv.DictReader(stream))
    assert 40 < len(sheet) <= answers
    random = np.random.default_rng(0)
    for who in ("anna", "ben"):
        rows = [{**row, "stance": ("support", "neutral", "oppose")[(i + int(random.random() < 0.2)) % 3]} for i, row in enumerate(sheet)]
        with (folder / f"{who}.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        read = json.loads(valuedrift("labels", "add", "jury.yaml", f"{who}.csv", "--labeller", who, "--json").stdout)
    assert read["agreement"]["n"] == len(sheet) and 0.3 < read["agreement"]["alpha"] < 1
    told = valuedrift("explain", "jury.yaml").stdout
    assert (
        f"people labelled answers: {2 * len(sheet)} labels" in told and "2 missing" in told
    )  # the correction, and the conclusions that tell of it

    # fitted on this study's labels for the judge as it judged; nobody else can use it
    fitted = valuedrift("judge", "calibrate", "--study", "jury.yaml", "--judge", "cross-encoder", "--out", "calibration.json", "--json")
    figures, calibration = json.loads(fitted.stdout), Calibration.model_validate_json((folder / "calibration.json").read_bytes())
    assert figures["log_loss"]["after"][0] < figures["log_loss"]["before"][0]  # labels at random: the judge is far too sure
    (folder / "jury.yaml").write_text(STUDY.replace("audit: null\n", f"{CALIBRATED}audit: null\n"), encoding="utf-8")
    done = valuedrift("run", "jury.yaml")
    assert "done train" not in done.stdout and "done sample" not in done.stdout
    stances = store.read("stances", study="jury").sort("run_id", "step", "prompt_id", "sample_idx")
    plain, corrected = (
        stances.filter((pl.col("judge") == name) & (pl.col("status") == "ok")).select(P).to_numpy()
        for name in ("cross-encoder", "calibrated")
    )
    assert corrected == pytest.approx(calibration.apply(plain), abs=1e-6) and abs(corrected - plain).max() > 0.05

    # and with the labels its uncertainty is in the drift's interval, as is every judge's
    drift = store.read("drift_corrected", study="jury")
    assert set(drift["judge"]) == {"panel", "cross-encoder", "doubtful", "calibrated"} and set(drift["level"]) == {"cell"}
    naive = store.read("drift", study="jury")
    keys = ["judge", "run_id", "topic", "stance"]
    both = drift.join(naive.select(*keys, judged="magnitude", judged_low="magnitude_low"), on=keys)
    assert both.height == drift.height == 12
    assert both["uncorrected_magnitude"].to_list() == pytest.approx(both["judged"].to_list(), abs=1e-12)
    assert both["uncorrected_magnitude_low"].to_list() == pytest.approx(both["judged_low"].to_list(), abs=1e-12)
    width = (pl.col("magnitude_high") - pl.col("magnitude_low")).sum() > (
        pl.col("uncorrected_magnitude_high") - pl.col("uncorrected_magnitude_low")
    ).sum()
    assert drift.filter(pl.col("judge") == "calibrated").select(width).item()
    assert store.read("trajectory_corrected", study="jury").height == 4 * 2 * 3
    page = (folder / "root" / "reports" / "jury" / "report.html").read_text(encoding="utf-8")
    assert "What people&#39;s labels change" in page or "What people's labels change" in page
    assert "labelled answers of this study" in page and "anna and ben" in page
    assert "nothing to do" in valuedrift("run", "jury.yaml").stdout
    valuedrift("tables", "check")

    # another label is another correction, and nothing else
    rows[0]["stance"] = "refused"
    with (folder / "ben.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows[:1])
    valuedrift("labels", "add", "jury.yaml", "ben.csv", "--labeller", "ben")
    told = valuedrift("explain", "jury.yaml").stdout
    assert "differs from jury in labels" in told and "2 missing" in told  # the correction, and the conclusions that tell of it
