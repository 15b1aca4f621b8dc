"""What is forgotten so that failed judgements are asked for again: what the next run makes again, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.storage.schemas import table_schema
from valuedrift.study import load_study
from valuedrift.tasks.asking_again import forget_failed
from valuedrift.tasks.study_work import StudyWork

TINY = Path(__file__).resolve().parents[1] / "integration" / "tiny.yaml"
FAILED = {"p_support": None, "p_neutral": None, "p_oppose": None, "unassigned": None, "status": "failed"}
JUDGED = {"p_support": 0.5, "p_neutral": 0.25, "p_oppose": 0.25, "unassigned": 0.0, "status": "ok"}


def put(work: StudyWork, table: str, row: dict[str, Any], key: str, identity: dict[str, Any], slot: str = "") -> None:
    schema = table_schema(table)
    frame = pl.DataFrame([{name: row.get(name) for name in schema.polars}], schema=schema.polars)
    work.store.put(table, frame, partition={name: row[name] for name in schema.partition}, key=key, identity=identity, slot=slot)


def judged(work: StudyWork, step: int, run_id: str, judge: str, key: str, outcome: dict[str, Any]) -> None:
    row = {
        "study": "tiny",
        "run_id": run_id,
        "step": step,
        "probe_set": "starter",
        "topic": "immigration",
        "prompt_id": "p",
        "sample_idx": 0,
    }
    put(work, "stances", {**row, "judge": judge, **outcome}, key, {"stage": "judge"}, judge)


def test_labels_and_stances_that_no_run_would_bring_back_stay(tmp_path: Path) -> None:
    work = StudyWork(load_study(TINY), str(tmp_path))
    run = work.plan.runs[0]
    judge = work.study.judges[0].name
    judged(work, run.steps[0], run.run_id, judge, "bad", FAILED)
    judged(work, run.steps[1], run.run_id, judge, "good", JUDGED)
    judged(work, run.steps[0], run.run_id, "imported", "theirs", FAILED)
    judged(work, 0, "an older run", judge, "older", FAILED)
    drift = {
        "study": "tiny",
        "judge": judge,
        "run_id": run.run_id,
        "topic": "immigration",
        "stance": "support",
        "from_step": 0,
        "to_step": 2,
    }
    numbers = dict.fromkeys(("magnitude", "magnitude_low", "magnitude_high", "total_variation", "jensen_shannon"), 0.0)
    put(work, "drift", {**drift, **numbers, "n_prompts": 4, "p_value": 1.0, "q_value": 1.0}, "d", {"stances": ["bad", "good"]})
    drawn = {
        "study": "tiny",
        "draw": "x",
        "label_id": "1",
        "judge": judge,
        "probe_set": "starter",
        "topic": "immigration",
        "prompt_id": "p",
    }
    put(work, "label_draws", {**drawn, "prompt": "?", "response": "Yes.", "probability": 1.0}, "x", {"made_of": ["bad", "good"]}, "x")
    put(work, "labels", {**drawn, "labeller": "ann", "stance": "support"}, "l", {"draw": "x"}, "x/ann")

    gone = forget_failed(work)
    assert (gone.judgements, gone.parts, gone.others) == (1, 2, ())
    assert {entry.key for entry in work.store.entries(study="tiny")} == {"good", "theirs", "older", "x", "l"}
    assert forget_failed(work).parts == 0
