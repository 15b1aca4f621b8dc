"""Equal work is done once, and what differs is named."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from valuedrift.storage.schemas import table_schema
from valuedrift.study import load_study
from valuedrift.tasks.outlook import _difference
from valuedrift.tasks.reuse import reuse
from valuedrift.tasks.workplace import Workplace

TINY = Path(__file__).resolve().parents[1] / "integration" / "tiny.yaml"


def responses(run_id: str, step: int) -> pl.DataFrame:
    rows = [
        {
            "study": "other",
            "run_id": run_id,
            "step": step,
            "probe_set": "starter",
            "topic": "immigration",
            "prompt_id": f"p{index}",
            "sample_idx": 0,
            "response": "Perhaps.",
            "finish_reason": "stop",
            "n_tokens": 2,
            "engine": "transformers",
            "sampling": "s",
            "checkpoint": "w",
        }
        for index in range(3)
    ]
    return pl.DataFrame(rows, schema=table_schema("responses").polars)


def test_rows_of_an_equal_key_are_taken_over_under_this_runs_name(tmp_path: Path) -> None:
    work = Workplace(load_study(TINY), str(tmp_path))
    there = {"study": "other", "run_id": "a", "step": 8}
    work.store.put("responses", responses("a", 8), partition=there, key="k", identity={"weights": "w"})
    here: dict[str, str | int] = {"study": "tiny", "run_id": "b", "step": 0}
    assert reuse(work, "responses", "another key", here) is None
    found = reuse(work, "responses", "k", here)
    assert found is not None and found.reused and found.rows == 3
    frame = work.store.read("responses", study="tiny")
    assert frame.select("study", "run_id", "step").unique().rows() == [("tiny", "b", 0)]
    assert frame.get_column("prompt_id").to_list() == ["p0", "p1", "p2"]
    entry = work.store.entry("responses", here)
    assert entry is not None and entry.identity == {"weights": "w"}


def test_stances_are_taken_over_under_the_name_that_this_study_gives_its_judge(tmp_path: Path) -> None:
    work = Workplace(load_study(TINY), str(tmp_path))
    schema = table_schema("stances").polars
    given = {
        "study": "other",
        "run_id": "a",
        "step": 8,
        "probe_set": "p",
        "topic": "t",
        "prompt_id": "q",
        "sample_idx": 0,
        "judge": "theirs",
    }
    judged = {"p_support": 0.5, "p_neutral": 0.25, "p_oppose": 0.25, "unassigned": 0.0, "status": "ok", "polarity": 1, "pair_id": None}
    row = pl.DataFrame([{name: {**given, **judged}[name] for name in schema.names()}], schema=schema)
    work.store.put("stances", row, partition={"study": "other", "run_id": "a", "step": 8}, key="k", identity={}, slot="theirs")
    assert reuse(work, "stances", "k", {"study": "tiny", "run_id": "b", "step": 0}, "ours") is not None
    assert work.store.read("stances", study="tiny").get_column("judge").to_list() == ["ours"]


def test_an_object_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    work = Workplace(load_study(TINY), str(tmp_path))
    there = {"study": "other", "run_id": "a", "step": 8}
    entry = work.store.put("responses", responses("a", 8), partition=there, key="k", identity={})
    (tmp_path / entry.path).unlink()
    assert reuse(work, "responses", "k", {"study": "tiny", "run_id": "b", "step": 0}) is None


def test_the_difference_to_the_nearest_identity_is_named(tmp_path: Path) -> None:
    work = Workplace(load_study(TINY), str(tmp_path))
    assert _difference(work, "responses", {"a": {"b": 1}}, None) == "never done"
    for step, identity in ((1, {"a": {"b": 1, "c": 2}, "d": 3}), (2, {"a": {"b": 9, "c": 9}, "d": 9})):
        partition = {"study": "other", "run_id": "a", "step": step}
        work.store.put("responses", responses("a", step), partition=partition, key=f"k{step}", identity=identity)
    told = _difference(work, "responses", {"a": {"b": 1, "c": 5}, "d": 3}, None)
    assert told == "differs from other a 1 in a.c: 2 → 5"
