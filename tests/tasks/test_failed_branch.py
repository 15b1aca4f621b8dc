"""One run of several fails: what is made of all runs is made of the others, and what failed is said. In a real flow of a temporary server."""

from __future__ import annotations

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
