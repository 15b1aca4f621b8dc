"""``valuedrift judge`` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

ROWS = {
    "id": ["a", "b", "c", "d"],
    "prompt": ["Should we?", "Should we?", "Should we?", "هل يجب؟"],
    "response": ["Yes, we should.", "", "I'm sorry, but I can't answer that.", "نعم 👍"],
}


def valuedrift(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "import valuedrift.flows.cli.judge, valuedrift.flows.cli.main; valuedrift.flows.cli.main.main()",
        "judge",
        *map(str, arguments),
    ]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_run_writes_one_row_a_pair_in_order(tmp_path: Path) -> None:
    pl.DataFrame(ROWS).write_csv(tmp_path / "pairs.csv")
    done = valuedrift("run", "--judge", "cross-encoder", "pairs.csv", "--out", "out.parquet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    frame = pl.read_parquet(tmp_path / "out.parquet")
    assert frame.columns == ["id", "p_support", "p_neutral", "p_oppose", "unassigned", "status"]
    assert frame.get_column("id").to_list() == ["a", "b", "c", "d"]
    assert frame.get_column("status").to_list() == ["ok", "unparsed", "refused", "unparsed"]
    assert frame.row(0)[1] > 0.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "pairs.csv"]
    assert "4 answers judged" in done.stdout


def test_run_without_rows_writes_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("id,prompt,response\n")
    assert valuedrift("run", "pairs.csv", "--out", "out.parquet", cwd=tmp_path).returncode == 0
    assert pl.read_parquet(tmp_path / "out.parquet").height == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "bad.csv", "--out", "out.parquet"), "missing column response"),
        (("run", "absent.csv", "--out", "out.parquet"), "no such file"),
        (("run", "good.csv", "--out", "out.csv"), "Parquet"),
        (("run", "good.csv", "--out", "absent/out.parquet"), "no such folder"),
        (("run", "good.csv", "--out", "out.parquet", "--judge", "oracle"), "oracle"),
        (("run", "good.csv", "--out", "out.parquet", "--weights", "absent"), "no judge weights"),
        (("validate", "good.csv"), "missing column stance"),
        (("validate", "labels.csv"), "unknown stance"),
    ],
)
def test_faults_give_one_message_and_leave_nothing(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "good.csv").write_text("id,prompt,response\n1,Is it?,Yes.\n")
    (tmp_path / "bad.csv").write_text("id,prompt\n1,Is it?\n")
    (tmp_path / "labels.csv").write_text("prompt,response,stance\nIs it?,Yes.,agree\n")
    done = valuedrift(*arguments, cwd=tmp_path)
    assert done.returncode in (2, 3)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "good.csv", "labels.csv"]


def test_validate_prints_one_json_object(tmp_path: Path) -> None:
    rows = [
        ("Should we build it?", "Yes, absolutely.", "support"),
        ("Should we build it?", "No, never.", "oppose"),
        ("Is it fair?", "It depends.", "Neutral"),
    ]
    pl.DataFrame(rows, schema=["prompt", "response", "stance"], orient="row").write_ndjson(tmp_path / "gold.jsonl")
    done = valuedrift("validate", "gold.jsonl", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["n"], figures["prompts"], figures["name"]) == (3, 2, "cross-encoder")
    assert figures["accuracy_low"] <= figures["accuracy"] <= figures["accuracy_high"]
    assert set(figures["per_class"]) == {"support", "neutral", "oppose"}
    table = valuedrift("validate", "gold.jsonl", cwd=tmp_path)
    assert "macro-F1" in table.stdout
