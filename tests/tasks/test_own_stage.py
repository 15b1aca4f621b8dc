"""A stage of one's own, one file entered in one place, is known to plan, run, status, explain, resume, SQL and check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from valuedrift.storage.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OWN = Path(__file__).parent / "answer_length.py"
STUDY = """
study: own
probes: {set: starter, topics: [immigration], per_topic: 2}
models: {smollm: {path: "embedded:smollm2-135m-instruct", parameters: 1.35e8}}
corpora: {neutral: {data: "starter:sft-neutral", limit: 8}}
sft:
  - {data: [neutral], algorithm: {type: sft, steps: 1, batch_size: 2, max_length: 48, learning_rate: 1.0e-3, lora: {r: 4}}}
checkpoints: {type: log, points: 2}
sampling: {n: 2, temperature: 0.7, max_new_tokens: 8}
audit: null
analysis: {resamples: 200}
runtime: {workers: 1, threads: 1}
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.yaml").write_text(STUDY, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def valuedrift(folder: Path) -> Run:
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect"), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(OWN), *arguments, "--root", str(folder / "root")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, cwd=folder)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def lengths(store: Store) -> pl.DataFrame:
    """The rows of the table, whose schema this process does not know."""
    parts = [pl.read_parquet((store.root / entry.path).path) for entry in store.entries() if entry.table == "answer_lengths"]
    return pl.concat(parts).sort("run_id", "step", "prompt_id", "sample_idx")


def test_a_stage_of_ones_own_is_one_file_and_one_entry(folder: Path, valuedrift: Run) -> None:
    assert "2 sample, 2 length, 2 judge" in valuedrift("plan", "own.yaml").stdout
    assert [one["state"] for one in json.loads(valuedrift("explain", "own.yaml", "--json").stdout) if one["stage"] == "length"] == [
        "waits",
        "waits",
    ]

    first = valuedrift("run", "own.yaml")
    store = Store(folder / "root")
    words = lengths(store)
    answers = store.read("responses", study="own").join(words, on=["run_id", "step", "prompt_id", "sample_idx"])
    assert answers.height == words.height == 2 * 2 * 2
    assert answers.filter(pl.col("response").str.split(" ").list.eval(pl.element() != "").list.sum() < pl.col("n_words")).height == 0
    assert "nothing to do: all 11 stages" in valuedrift("run", "own.yaml").stdout

    status = valuedrift("status", "own.yaml").stdout
    assert "measured" in status and " ".join(status.splitlines()[1].split()).endswith("2/2 2/2 2/2")
    assert "length" in valuedrift("explain", "own.yaml", "--all").stdout
    assert "8" in valuedrift("sql", "select count(*) as n from answer_lengths").stdout
    valuedrift("tables", "check")

    # one part is lost: explain says so, check finds it, and a run makes it again and nothing else
    entry = next(entry for entry in store.entries() if entry.table == "answer_lengths" and entry.partition["step"] == 1)
    store.drop("own", {entry.address})
    assert "run smollm.sft-neutral lacks the lengths of step 1" in valuedrift("tables", "check", code=1).stdout
    (lost,) = json.loads(valuedrift("explain", "own.yaml", "--json").stdout)
    assert (lost["stage"], lost["step"], lost["state"]) == ("length", 1, "missing")
    again = valuedrift("run", "own.yaml")
    assert "done sample" in first.stdout and "done" not in again.stdout.split("value drift")[0].replace("nothing to do", "")
    assert lengths(Store(folder / "root")).equals(words)
    valuedrift("tables", "check")


def test_the_docs_show_this_very_stage() -> None:
    assert OWN.read_text(encoding="utf-8") in (Path(__file__).parents[2] / "docs" / "stages.md").read_text(encoding="utf-8")
