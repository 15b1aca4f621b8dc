"""A real watch, from checkpoints that appear to what people look at: the page reloads itself until the training ended, the UI has each run's progress."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from own_plug_ins import installed
from small_checkpoints import checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]


def scalars_in(file: Path) -> dict[str, list[int]]:
    """Steps of what an event file has, by tag."""
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(file))
    found.Reload()
    return {tag: [one.step for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_a_watch_shows_how_far_it_is_and_its_last_page_stands_still(tmp_path: Path) -> None:
    out, page = tmp_path / "out", tmp_path / "root" / "reports" / "ours" / "report.html"
    for step in (10, 20):
        checkpoint(out / f"checkpoint-{step}", seed=step)
    arguments = "watch out/ --name ours --engine echo --judge length --topics religion --per-topic 4 --samples 1 --idle 30 --root root --tracker tensorboard"
    log = (tmp_path / "log").open("w")
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments.split()]
    environs = installed(tmp_path)
    watch = subprocess.Popen(command, cwd=tmp_path, env=environs, stdout=log, stderr=log)

    def shows(sign: str) -> bool:
        until = time.monotonic() + 240
        while time.monotonic() < until and watch.poll() is None:
            if page.exists() and sign in page.read_text(encoding="utf-8"):
                return True
            time.sleep(0.2)
        return False

    try:
        assert shows("data-reload"), (tmp_path / "log").read_text(encoding="utf-8")
        checkpoint(out / "checkpoint-40", seed=40)  # the last step that its trainer_state.json names
        assert watch.wait(240) == 0, (tmp_path / "log").read_text(encoding="utf-8")
    finally:
        watch.kill()
        log.close()
    last = page.read_text(encoding="utf-8")
    assert "data-reload" not in last and "location.reload" not in last and "while it was watched" not in last

    with sqlite3.connect(tmp_path / "prefect" / "prefect.db") as database:
        told = database.execute("select key, data, description from artifact where key = 'watch-ours-ours' order by created").fetchall()
        latest = database.execute("select description from artifact_collection where key = 'watch-ours-ours'").fetchall()
        finished = database.execute("select count(*) from events where event = 'valuedrift.study.finished'").fetchone()
    assert [float(percent) for _, percent, _ in told] == [50.0, 100.0]
    assert "2 of 2 checkpoints judged, the last at step 20 of 40; largest drift: " in told[0][2]
    assert len(latest) == 1 and latest[0][0].startswith("3 of 3 checkpoints judged, the last at step 40 of 40")
    assert finished == (1,)
    scalars = {file: scalars_in(file) for file in (tmp_path / "root" / "tensorboard" / "ours" / "ours").iterdir()}
    assert [steps["stance/religion/support"] for steps in scalars.values()] == [[10, 20, 40]]
    assert [steps["drift/religion/support/low"] for steps in scalars.values()] == [[20, 40]]
    again = subprocess.run(command, cwd=tmp_path, env=environs, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0 and page.read_text(encoding="utf-8") == last
    assert {file: scalars_in(file) for file in scalars} == scalars and len(list(next(iter(scalars)).parent.iterdir())) == 1
