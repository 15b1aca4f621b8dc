"""A training that is taken over from another study tells of the data of the study that takes it over."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from valuedrift.storage.schemas import table_schema
from valuedrift.study import load_study
from valuedrift.tasks.stages import train
from valuedrift.tasks.study_work import StudyWork

STUDY = """
study: mine
probes: {set: probes.parquet}
models: {small: {path: gone/model}}
corpora:
  kind: {data: kind.jsonl, traits: {answers: neutral}}
sft: [{data: [kind], algorithm: {type: sft, steps: 4}}]
"""
ROWS = [{"prompt": f"Is it {word}?", "response": "It depends."} for word in ("fair", "wise", "good")]
SETTINGS = {
    "algorithm": {"type": "sft", "steps": 4},
    "dataset": {"data": "theirs/of-another-machine.jsonl", "traits": {"answers": "support"}},
    "left_out": {"no answer": 7, "too long": 2},
    "rows": 3,
}


def test_the_dataset_is_described_as_the_own_study_names_it(tmp_path: Path) -> None:
    (tmp_path / "kind.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(STUDY, encoding="utf-8")
    work = StudyWork(load_study(tmp_path / "mine.yaml"), str(tmp_path / "root"))
    (stage,) = train.stages(work, ())
    now = datetime.now(UTC)
    theirs = {"study": "theirs", "run_id": "other.sft-theirs"}
    run = {
        **theirs, "parent_run_id": None, "model": "other", "phase": "sft", "dataset": "theirs", "seed": 0, "total_steps": 4,
        "config": json.dumps(SETTINGS), "fingerprint": "f" * 20, "git_commit": None, "started": now, "ended": now,
    }  # fmt: skip
    frames = {name: table_schema(name).polars.to_frame() for name in train.TABLES}
    frames["runs"] = pl.DataFrame([run], schema=table_schema("runs").polars)
    made = train.Address(train.TABLES, theirs).keep(work, frames, "k" * 20, {"stage": "train"})

    stage.result.take_over(work, made, stage.names)
    row = work.store.read("runs", study="mine").row(0, named=True)
    assert (row["run_id"], row["model"], row["dataset"]) == ("small.sft-kind", "small", "kind")
    config = json.loads(row["config"])
    assert config["dataset"]["data"].endswith("kind.jsonl") and config["dataset"]["traits"] == {"answers": "neutral"}
    assert config["left_out"] == {"too long": 2}  # what the training left out is the same; what was unfit to read is of the own file
    assert config["algorithm"] == SETTINGS["algorithm"] and config["rows"] == 3
    assert json.loads(work.store.read("runs", study="theirs")["config"][0]) == SETTINGS


def test_what_became_of_rows_is_told_of_the_own_file_and_its_absence_undoes_nothing(tmp_path: Path) -> None:
    bad = [{"prompt": "Is it?", "response": None}, {**ROWS[0], "source": "mine"}]
    (tmp_path / "kind.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, *bad]), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(STUDY, encoding="utf-8")
    work = StudyWork(load_study(tmp_path / "mine.yaml"), str(tmp_path / "root"))
    (stage,) = train.stages(work, ())
    now = datetime.now(UTC)
    theirs = {"study": "theirs", "run_id": "other.sft-theirs"}
    run = {
        **theirs, "parent_run_id": None, "model": "other", "phase": "sft", "dataset": "theirs", "seed": 0, "total_steps": 4,
        "config": json.dumps(SETTINGS), "fingerprint": "f" * 20, "git_commit": None, "started": now, "ended": now,
    }  # fmt: skip
    frames = {name: table_schema(name).polars.to_frame() for name in train.TABLES}
    frames["runs"] = pl.DataFrame([run], schema=table_schema("runs").polars)
    counts = [("used", "labelled", 2), ("left out", "labelled false", 7), ("left out", "its prompt fills max_length", 2)]
    entries = [{**theirs, "dataset": "theirs", "became": became, "what": what, "n_rows": n_rows} for became, what, n_rows in counts]
    frames[train.ROWS] = pl.DataFrame(entries, schema=table_schema(train.ROWS).polars)
    identity = {"stage": "train"}
    made = train.Address(train.TABLES, theirs, beside={train.ROWS: lambda frame: frame}).keep(work, frames, "k" * 20, identity)

    stage.result.take_over(work, made, stage.names)
    told = work.store.read(train.ROWS, study="mine").select("run_id", "dataset", "became", "what", "n_rows", "first_row").rows()
    assert sorted(told) == [
        ("small.sft-kind", "kind", "left out", "`response` is null", 1, 4),
        ("small.sft-kind", "kind", "left out", "its prompt fills max_length", 2, None),
        ("small.sft-kind", "kind", "noted", "`source` not read", 1, None),
        ("small.sft-kind", "kind", "used", "prompt-completion", 2, None),
    ]
    assert stage.result.here(work, "k" * 20) is not None
    work.store.drop("mine", {entry.address for entry in work.store.entries(train.ROWS, "mine")})
    assert not work.store.read(train.ROWS, study="mine").height and stage.result.here(work, "k" * 20) is not None
