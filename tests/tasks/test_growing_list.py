"""A list of stages may grow while it is carried out: by what a stage made, and by what a source reports. In a real flow of a temporary server."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from valuedrift.study.runtime import Runtime
from valuedrift.tasks.result import Frames, OnShelf, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.work import Work

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_list_grows_by_what_is_made_and_by_what_a_source_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    from prefect import flow

    from valuedrift.tasks.carry_out import carry_out

    made: list[str] = []
    reported: list[str] = []

    def stage(what: str, needs: tuple[Stage, ...] = ()) -> Stage:
        def make(_: Work, results: Sequence[Reference]) -> Frames:
            made.append(f"{what} of {len(results)}")
            return {"rows": pl.DataFrame({"n": [len(results)]})}

        return Stage("count", OnShelf("rows"), needs, lambda results: {"what": what, "of": [one.key for one in results]}, make, what=what)

    def listed() -> list[Stage]:
        """First one checkpoint; a second once that is done; and those that the source reported. The sum is made of all there are."""
        checkpoints = [stage("first"), *([stage("second")] if made else []), *map(stage, reported)]
        return [*checkpoints, stage("sum", tuple(checkpoints))]

    @flow
    def grow() -> dict[str, Reference]:
        work = Work(str(tmp_path / "root"), Runtime())
        done = threading.Event()

        def watch() -> None:
            with work.source() as report:
                opened.set()
                done.wait(60)
                reported.append("late")
                report()

        opened = threading.Event()
        source = threading.Thread(target=watch)
        source.start()
        opened.wait(60)
        threading.Timer(2.0, done.set).start()
        results = carry_out(work, listed)
        source.join()
        return results

    results = grow()
    assert set(results) == {"count first", "count second", "count late", "count sum"}
    assert made[0] == "first of 0" and made[-1] == "sum of 3" and "late of 0" in made
    assert results["count sum"].rows == 1 and len(made) == len(set(made))
