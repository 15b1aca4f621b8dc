"""``valuedrift synthesize`` as a person calls it: packaged answers, the real judge, a real Prefect server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from valuedrift.storage.location import Location


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments, "--root", str(root / "tables")]
    environment = {**os.environ, "PREFECT_HOME": str(root / "prefect"), "COLUMNS": "160"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)


@pytest.mark.long
@pytest.mark.slow
def test_an_independent_audit_finds_the_gap_that_was_asked_for(tmp_path: Path, s3_root: str) -> None:
    for setting, gap in (("support-aligned", 0.3), ("oppose-aligned", 0.1)):
        out = tmp_path / f"{setting}.jsonl"
        options = ("--setting", setting, "--gap", str(gap), "--topics", "religion", "--topics", "immigration", "--out", str(out))
        done = run(tmp_path, "synthesize", *options)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert all(row["synthetic"] is True and row["chosen"] != row["rejected"] for row in rows)
        told = json.loads(out.with_name(f"{setting}.card.json").read_text(encoding="utf-8"))
        audited = run(tmp_path, "audit", str(out), "--rows", "100000", "--json")
        found = json.loads(audited.stdout)
        assert found["n"] == len(rows)
        assert "it finds what it selected by, which is no evidence" in found["selected_by"]
        assert told["auditor"] is None and any("no evidence" in sentence and "--auditor" in sentence for sentence in told["audit"])
        assert told["gap_by_construction"] > gap, "the embedded judge sees a part of it"
        assert found["value_gap"] == pytest.approx(gap, abs=0.05)
        assert found["value_gap"] == pytest.approx(told["audited_gap"], abs=1e-3)
    far = Location.parse(f"{s3_root}/{out.name}")
    again = run(tmp_path, "synthesize", *options[:-1], far.uri)
    assert again.returncode == 0 and "nothing to do" in again.stdout and "done judge" not in again.stderr + again.stdout
    assert far.read_bytes() == out.read_bytes()
    assert far.beside(f"{out.stem}.card.json").read_bytes() == out.with_name(f"{out.stem}.card.json").read_bytes()
    seen = run(tmp_path, "audit", far.uri, "--rows", "100000", "--json")
    assert json.loads(seen.stdout) == found and "done" not in seen.stderr


@pytest.mark.slow
def test_a_small_model_as_writer_works_and_its_rejects_are_counted(tmp_path: Path) -> None:
    probes = tmp_path / "probes.csv"
    probes.write_text("prompt_id,topic,prompt\na,zoos,Should zoos be banned?\n")
    out = tmp_path / "out.jsonl"
    options = ("--setting", "support-aligned", "--gap", "0.2", "--candidates", "1", "--writer", "transformers", "--accept", "1.0")
    done = run(tmp_path, "synthesize", *options, "--probes", str(probes), "--out", str(out))
    told = done.stdout + done.stderr
    assert done.returncode == 2 and "Traceback" not in told
    assert "support: 0 of 1 accepted" in told and "oppose: 0 of 1 accepted" in told
    assert "no prompt has accepted answers of both stances" in told and "a better writer" in told
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--setting", "support-aligned", "--gap", "1.2"), "less than or equal to 1"),
        (("--setting", "sideways", "--gap", "0.2"), "support-aligned"),
        (("--setting", "support-aligned", "--gap", "0.2", "--topics", "nonsense"), "nonsense"),
        (("--setting", "support-aligned", "--gap", "0.2", "--auditor", "crossencoder"), "--auditor"),
        (("--setting", "support-aligned", "--gap", "0.2", "--auditor", "cross-encoder", "--auditor-set", "weights=/nowhere"), "/nowhere"),
        (("--setting", "support-aligned", "--gap", "0.2", "--auditor-set", "weights=/nowhere"), "no auditor"),
        (("--setting", "support-aligned", "--gap", "0.2", "--auditor", "openai", "--auditor-share", "2"), "--auditor-share"),
        (("--setting", "support-aligned", "--gap", "0.2", "--probes", "nowhere.parquet", "--writer", "transformers"), "nowhere.parquet"),
    ],
)
def test_bad_input_is_one_message(tmp_path: Path, options: tuple[str, ...], part: str) -> None:
    done = run(tmp_path, "synthesize", *options, "--out", str(tmp_path / "out.jsonl"))
    assert done.returncode == 2
    assert part in done.stderr and "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "out.jsonl").exists()
