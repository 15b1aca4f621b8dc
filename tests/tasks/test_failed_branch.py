"""One run of several fails: what is made of all runs is made of the others, and what failed is said. In a real flow of a temporary server."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from valuedrift.errors import SameAgainError, StageError, UserError
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.result import Frames, OnShelf, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.work import Work

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_other_runs_are_reported_and_only_what_may_pass_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    from prefect import flow

    from valuedrift.tasks.carry_out import carry_out

    tried: list[str] = []
    faults = {"broken": UserError("a broken model"), "dies": StageError("killed"), "defect": SameAgainError("KeyError: 'x'")}
    work = Work(str(tmp_path / "root"), Runtime(retries=2, retry_delay_seconds=0.1))

    def stage(name: str, run: str, needs: tuple[Stage, ...] = ()) -> Stage:
        def make(_: Work, results: Sequence[Reference]) -> Frames:
            tried.append(f"{name} {run}".strip())
            if run in faults and name == "train":
                raise faults[run]
            return {"rows": pl.DataFrame({"n": [len(results)]})}

        result = OnShelf("rows", {"run_id": run} if run else {})
        return Stage(name, result, needs, lambda results: {"what": name, "run": run, "of": [one.key for one in results]}, make, what=run)

    def listed() -> list[Stage]:
        trained = [stage("train", run) for run in ("sound", *faults)]
        judged = [stage("judge", one.run_id, (one,)) for one in trained]
        return [*trained, *judged, stage("analyze", "", tuple(one for one in judged if one.run_id not in work.given_up))]

    @flow
    def study() -> None:
        carry_out(work, listed)

    with pytest.raises(StageError, match=r"3 stages failed: .*the report is of the other runs, without broken, defect and dies"):
        study()
    assert [tried.count(f"train {run}") for run in ("sound", "broken", "dies", "defect")] == [1, 1, 3, 1]
    assert tried[-1] == "analyze" and tried.count("analyze") == 1 and tried.count("judge sound") == 1
    assert work.given_up.keys() == set(faults) and "a broken model" in work.given_up["broken"]


def test_what_is_known_failed_or_done_elsewhere_is_not_made_here_and_a_reason_has_no_traceback_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    from prefect import flow
    from prefect.logging.configuration import setup_logging

    setup_logging()  # the first time it takes the handlers of others away
    logging.getLogger().addHandler(caplog.handler)

    from valuedrift.tasks.board import tell
    from valuedrift.tasks.carry_out import carry_out

    made: list[str] = []
    tell("told where no flow runs")
    work = Work(str(tmp_path / "root"), Runtime(retries=0))

    def stage(what: str, *needs: Stage) -> Stage:
        def make(_: Work, results: Sequence[Reference]) -> Frames:
            made.append(what)
            tell(f"counted {what}")
            if what == "wrong":
                raise UserError("a broken row", where="rows.jsonl")
            return {"rows": pl.DataFrame({"n": [len(results)]})}

        result = OnShelf("rows", {"run_id": what})
        return Stage("count", result, needs, lambda results: {"what": what, "of": [one.key for one in results]}, make, what=what)

    known, failed, elsewhere, wrong = stage("known"), stage("failed"), stage("elsewhere"), stage("wrong")
    stages = [known, failed, elsewhere, wrong, stage("of known", known), stage("of failed", failed)]
    reference = Reference(table="rows", key="k", rows=1)

    @flow
    def planner() -> None:
        tell("told by the flow itself")
        carry_out(work, lambda: stages, known={known.label: reference}, faults={failed.label: StageError("died there")})

    @flow
    def worker() -> None:
        carry_out(
            Work(str(tmp_path / "root"), Runtime(retries=0)),
            lambda: stages,
            known={known.label: reference},
            mine=lambda one: one.what in ("wrong", "of known"),
        )

    with pytest.raises(StageError, match=r"2 stages failed: died there; rows.jsonl: a broken row; the report is of the other runs"):
        planner()
    assert sorted(made) == ["elsewhere", "of known", "wrong"]
    made.clear()
    with pytest.raises(UserError, match=r"^rows.jsonl: a broken row$"):
        worker()
    assert made == ["wrong"]  # what is of the known one lies on the shelf already
    reasons = [record for record in caplog.records if record.getMessage() == "rows.jsonl: a broken row"]
    assert len(reasons) == 2 and all(record.exc_info is None for record in reasons)
    assert not any(record.exc_info for record in caplog.records[: caplog.records.index(reasons[0]) + 1])
    told = {record.getMessage(): record.name for record in caplog.records}
    assert told["told by the flow itself"] == "prefect.flow_runs" and told["counted elsewhere"] == "prefect.task_runs"
    assert "told where no flow runs" not in told
