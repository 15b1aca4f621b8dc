"""Which child of a pool a job is given, and what a child keeps between jobs."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from valuedrift.jobs import ChildPool
from valuedrift.judges.causal_lm import CausalLM
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.job import JudgeJob


def test_a_job_goes_to_the_child_that_keeps_its_base(tmp_path: Path) -> None:
    pool = ChildPool(tmp_path, workers=3, threads=1)
    first, second, third = pool._all
    assert pool._best("a") is third and pool._best(None) is third
    first.keeps, second.keeps = "a", "b"
    assert pool._best("a") is first
    assert pool._best("b") is second
    assert pool._best("c") is second  # it may go on from what it has
    assert pool._best(None) is third  # nothing of use to others is taken
    first.close()
    assert first.keeps is None and pool._best("a") is second


def test_a_judge_that_is_a_language_model_asks_for_the_room_of_the_engine(tmp_path: Path) -> None:
    pl.DataFrame({"prompt": ["Why?"], "response": ["No."]}).write_parquet(tmp_path / "pairs.parquet")
    jobs = {
        judge.type: JudgeJob(judge=judge, responses=tmp_path / "pairs.parquet", out=tmp_path / "out.parquet")
        for judge in (CrossEncoder(), CausalLM())
    }
    assert {kind: job.leaves_room for kind, job in jobs.items()} == {"cross-encoder": True, "causal-lm": False}
