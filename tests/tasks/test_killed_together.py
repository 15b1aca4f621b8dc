"""Two processes, one study, one root, killed at random: the tables are those of an undisturbed run, and nothing is trained by two at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from killed_together import STATE_EVERY, kill_together, stages, tables

from valuedrift.storage.check_tables import check
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.once import once_each
from valuedrift.tasks.work import Work


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the tables lie."""
    return str(tmp_path / "root") if request.param == "folder" else str(request.getfixturevalue("s3_root"))


def _killed(root: str, tmp_path: Path, kills: int, steps: int, seed: int) -> None:
    undisturbed = str(tmp_path / "undisturbed")
    once_each(Work(undisturbed, Runtime()), stages(tmp_path / "undisturbed.log", steps))
    work = len((tmp_path / "undisturbed.log").read_text(encoding="utf-8").splitlines())
    came = kill_together(root, tmp_path, kills, steps, lease_seconds=10, seed=seed)
    found = tables(root)
    for name, frame in tables(undisturbed).items():
        assert found[name].equals(frame), f"table {name} differs from that of an undisturbed run"
    came.check_nobody_worked_beside()
    redone = came.redone()
    where = "S3" if root.startswith("s3:") else "folder"
    print(
        f"{where}: {came.kills} kills, {came.at_work} of the process at work; {work} pieces of work, done again after a kill: {redone}; {came.seconds:.0f} s"
    )
    if where == "folder":  # on a bucket, with no copies of states, another machine begins a training anew
        assert redone["train"] <= came.at_work * STATE_EVERY
    assert redone["sample"] + redone["judge"] <= came.at_work
    store = Work(root, Runtime()).store
    assert check(store) == []
    assert (store.root / "_claims").listing() == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_a_few_times(root: str, tmp_path: Path) -> None:
    _killed(root, tmp_path, kills=6, steps=12, seed=1)


@pytest.mark.figures
@pytest.mark.timeout(3600)
def test_killed_thirty_times(root: str, tmp_path: Path) -> None:
    _killed(root, tmp_path, kills=30, steps=150, seed=30)
