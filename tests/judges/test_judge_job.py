"""Judging as a job: Parquet in, Parquet out, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from valuedrift.errors import DataError
from valuedrift.judges import job
from valuedrift.judges.base import Judge
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.job import JudgeJob
from valuedrift.progress import Progress


def test_rows_stay_in_order(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "sample_idx": [0, 1, 2, 3],
            "prompt": ["Should we?"] * 4,
            "response": ["Yes, we should. " * 40, "", "No, never.", "It depends."],
        }
    )
    frame.write_parquet(tmp_path / "responses.parquet")
    asked = JudgeJob(judge=CrossEncoder(), responses=tmp_path / "responses.parquet", out=tmp_path / "out.parquet", threads=1)
    seen: list[Progress] = []
    result = JudgeJob.model_validate_json(asked.model_dump_json()).run(seen.append)
    out = pl.read_parquet(tmp_path / "out.parquet")
    assert out.columns == ["p_support", "p_neutral", "p_oppose", "unassigned", "status"]
    assert out.get_column("status").to_list() == ["ok", "unparsed", "ok", "ok"]
    assert out.row(0)[0] > 0.5 and out.row(2)[2] > 0.5 and out.row(3)[1] > 0.5
    assert (result.rows, seen[-1].done) == (4, 4)


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    pl.DataFrame({"prompt": ["p"]}).write_parquet(tmp_path / "responses.parquet")
    with pytest.raises(DataError, match="missing column response"):
        JudgeJob(responses=tmp_path / "responses.parquet", out=tmp_path / "out.parquet").run(lambda _: None)
    assert not (tmp_path / "out.parquet").exists()


def test_a_process_keeps_a_light_judge_for_its_next_job(tmp_path: Path) -> None:
    pl.DataFrame({"prompt": ["Should we?"], "response": ["No, never."]}).write_parquet(tmp_path / "responses.parquet")

    def judged(**how: Any) -> tuple[Judge, pl.DataFrame]:
        JudgeJob(responses=tmp_path / "responses.parquet", out=tmp_path / "out.parquet", **how).run(lambda _: None)
        (judge,) = job._kept.values()
        return judge, pl.read_parquet(tmp_path / "out.parquet")

    first, stances = judged(threads=1)
    again, same = judged(threads=1)
    assert again is first and same.equals(stances)
    another, of_another = judged(threads=1, judge=CrossEncoder(name="another"))
    assert another is not first and another.name == "another" and of_another.equals(stances)
