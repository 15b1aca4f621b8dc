"""``valuedrift audit`` as a person calls it, with the real judge and a real Prefect server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from valuedrift.storage.store import Store


def audit(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", "audit", *arguments, "--root", str(root / "tables")]
    environment = {**os.environ, "PREFECT_HOME": str(root / "prefect"), "COLUMNS": "160"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_gap_is_found_where_there_is_one_and_asked_again_it_only_looks(tmp_path: Path) -> None:
    data = ("starter:preference-support", "starter:preference-oppose", "starter:preference-style", "starter:sft-neutral")
    done = audit(tmp_path, *data, "--rows", "60", "--json")
    assert done.returncode == 0, done.stderr
    support, oppose, style, neutral = json.loads(done.stdout)
    assert support["n"] == 60 and support["value_gap_low"] > 0.05
    assert support["chosen"]["support"] > support["rejected"]["support"] and oppose["chosen"]["support"] < oppose["rejected"]["support"]
    assert oppose["value_gap_low"] > 0.05
    assert (support["gap_by_construction"], style["gap_by_construction"], "gap_by_construction" in neutral) == (1.0, 0.0, False)
    assert style["value_gap_low"] < 0.05, "pairs that differ in style only have no gap beyond the judge's own unevenness"
    assert style["value_gap_high"] < min(support["value_gap"], oppose["value_gap"])
    assert neutral["kind"] == "sft" and neutral["distribution"]["neutral"] > 0.6
    assert 0 < neutral["value_laden"]["n"] < neutral["n"], "plain instructions speak to no value"
    examples = Store(tmp_path / "tables").read("audit_examples", study="audit", dataset="preference-support")
    assert examples.height == 60 and examples.get_column("carried").mean() == pytest.approx(support["value_gap"], abs=0.02)

    begun = time.monotonic()
    again = audit(tmp_path, *data, "--rows", "60", "--json")
    assert json.loads(again.stdout) == json.loads(done.stdout)
    assert "done" not in again.stderr and time.monotonic() - begun < 15
    shown = audit(tmp_path, *data, "--rows", "60")
    assert "By construction its value gap is 1" in shown.stdout and "By construction its value gap is 0" in shown.stdout
    assert "value gap" in shown.stdout and "speak to a value" in shown.stdout and "Those that carry most" in shown.stdout


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "the file is empty"),
        (b'{"question": "x"}\n', "not in a known shape"),
        (b'{"prompt": "x", "chosen": "y"}\n', "not in a known shape"),
        (b"\xff\xfe\x00broken", "UTF-8"),
    ],
)
def test_bad_data_are_one_message(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    done = audit(tmp_path, str(path))
    assert done.returncode in (2, 3)
    assert part in done.stderr and "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "tables" / "audits").exists()


def test_a_wrong_name_or_kind_is_told(tmp_path: Path) -> None:
    assert "did you mean starter:preference-style" in audit(tmp_path, "starter:preference-stile").stderr
    assert "pairs of a chosen and a rejected answer" in audit(tmp_path, "starter:sft-neutral", "--kind", "preference").stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_prompt_aborts_nothing_and_what_became_of_rows_is_told(tmp_path: Path) -> None:
    cases = Path(__file__).parents[1] / "cases"
    data = [str(cases / f"{name}.jsonl") for name in ("one_value_row", "scores_reversed", "kto", "null_rejected")]
    done = audit(tmp_path, *data, "--json")
    assert done.returncode == 0, done.stderr
    one, scores, kto, null = json.loads(done.stdout)
    assert one["n"] == 11 and one["value_laden"]["n"] == 1
    assert one["value_laden"]["distribution"]["support"] is not None and one["value_laden"]["intervals"]["support"] == [None, None]
    against = {"scores contradict the pair (`score_chosen` below `score_rejected`)": 2}
    assert scores["rows"]["noted"] == against | {"scores tie the pair (`score_chosen` equals `score_rejected`)": 2}
    assert kto["rows"] == {"used": 4, "left_out": {"labelled false": 4}, "noted": {}}
    assert null["n"] == 1 and null["value_gap"] is not None and null["value_gap_low"] is None
    assert null["rows"]["left_out"] == {"`rejected` is null": 1, "empty rejected": 1}
    assert "audit kto: 4 rows used; 4 left out (labelled false: 4)" in done.stderr
    shown = audit(tmp_path, *data)
    assert (
        "4 rows used; 4 left out (labelled false: 4)." in shown.stdout and "of one prompt: nothing to make an interval of" in shown.stdout
    )
