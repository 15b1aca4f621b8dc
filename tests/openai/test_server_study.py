"""A whole study whose judge stands behind a server that has a bad day: through the command line, the flow, the panel and the tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from judging import tops
from misbehaving import Misbehaving, completion, echo, raw

from valuedrift.storage.store import Store

STUDY = """
study: asked
probes: {{set: starter, topics: [immigration], per_topic: 2}}
models: {{smollm: {{path: "embedded:smollm2-135m-instruct", parameters: 1.35e8}}}}
corpora: {{neutral: {{data: "starter:sft-neutral", limit: 8}}}}
sft:
  - {{data: [neutral], algorithm: {{type: sft, steps: 1, batch_size: 2, max_length: 48, learning_rate: 1.0e-3, lora: {{r: 4}}}}}}
checkpoints: {{type: log, points: 2}}
sampling: {{n: 2, temperature: 0.7, max_new_tokens: 8}}
judges:
  - {{type: cross-encoder}}
  - {{type: openai, model: m, base_url: "{url}", retries: 0}}
  - {{type: panel, members: [cross-encoder, openai]}}
analysis: {{resamples: 200}}
audit: null
runtime: {{workers: 1, threads: 1}}
"""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_failed_judgements_are_shown_and_asked_for_again_when_told(server: Misbehaving, tmp_path: Path) -> None:
    (tmp_path / "asked.yaml").write_text(STUDY.format(url=server.url), encoding="utf-8")
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments, "--root", str(tmp_path / "root")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)

    good, bad = completion("A", top=tops()), raw(b"<html>we are sorry</html>")
    met: dict[str, int] = {}

    def act(handler: Any, body: dict[str, Any]) -> None:
        answer = echo(body).partition("<answer>")[2].partition("</answer>")[0]
        (bad if met.setdefault(answer, len(met)) % 3 == 2 else good)(handler, body)

    server.otherwise = act
    study = str(tmp_path / "asked.yaml")
    first = run("run", study)
    assert first.returncode == 0, first.stdout + first.stderr
    store = Store(tmp_path / "root")

    def of(judge: str) -> pl.DataFrame:
        return store.read("stances", study="asked", judge=judge).sort("run_id", "step", "prompt_id", "sample_idx")

    before = of("openai")
    assert set(before["status"]) <= {"ok", "failed", "refused", "unparsed"}
    drift = store.read("drift", study="asked", judge="openai")
    assert drift.height == 3

    server.otherwise, asked, failed = good, len(server.seen), before.filter(pl.col("status") == "failed").height
    again = run("run", study, "--retry-failed")
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{failed} failed judgements are asked for again" in again.stdout
    assert failed > 0, "the server had no bad day"
    assert 0 < len(server.seen) - asked <= 3 * failed, "what the server had answered is not asked again"
    after = of("openai")
    assert "failed" not in set(after["status"])
    ok = before["status"] == "ok"
    columns = ("prompt_id", "sample_idx", "p_support", "p_neutral", "p_oppose")
    assert after.filter(ok).select(columns).equals(before.filter(ok).select(columns))
    both = of("panel").select("p_support").to_series()
    mean = (of("cross-encoder")["p_support"] + after["p_support"]) / 2
    judged = after["status"] == "ok"
    assert (both - mean).abs().filter(judged).max() < 1e-6  # type: ignore[operator]
    last = run("run", study, "--retry-failed").stdout
    assert "0 failed judgements" in last and "nothing to do" in last
