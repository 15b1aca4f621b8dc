"""The checkpoints that are gone are read from the tables while another thread writes the same table again."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import polars as pl
from small_checkpoints import checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "storage"))  # small_study
from small_study import responses

from valuedrift.storage.store import Store
from valuedrift.tasks import board as boards
from valuedrift.tasks.watch import Watch
from valuedrift.watching.series import Series

ROUNDS = 60


def test_what_is_gone_is_known_while_the_table_is_written(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))

    def adopt(number: int) -> None:
        rows = [
            {"study": "s", "run_id": "run", "step": step, "path": json.dumps({"watched": f"out/checkpoint-{step}"})}
            | {"fingerprint": f"f{number}", "adapter": True}
            for step in (2, 4)
        ]
        store.put("checkpoints", pl.DataFrame(rows), partition={"study": "s", "run_id": "run"}, key=f"key{number}", identity={})

    def again() -> None:
        for number in range(1, ROUNDS):
            adopt(number)

    adopt(0)
    watch = Watch({"run": Series(source=str(tmp_path / "out"))}, Store(str(tmp_path / "root")), "s", tmp_path / "held")
    watch.look()
    writer = threading.Thread(target=again)
    writer.start()
    looks = 0
    while writer.is_alive():
        assert watch.shown("run") == (), "nothing was sampled"
        looks += 1
    writer.join()
    assert looks > 1


def test_what_a_training_that_began_anew_has_not_reached_is_left_out_and_told(tmp_path: Path) -> None:
    """Steps 10, 20 and 30 were evaluated; then the folder is emptied, and a training that began anew wrote step 15."""
    store = Store(str(tmp_path / "root"))
    place = {"study": "s", "run_id": "run"}
    names = {step: str(tmp_path / "out" / f"checkpoint-{step}") for step in (10, 20, 30)}
    rows = [
        {**place, "step": step, "path": json.dumps({"watched": name}), "fingerprint": f"f{step}", "adapter": False}
        for step, name in names.items()
    ]
    store.put("checkpoints", pl.DataFrame(rows), partition=place, key="adopted", identity={})
    for step in names:
        answers = responses("run", step).with_columns(study=pl.lit("s"))
        store.put("responses", answers, partition={**place, "step": step}, key=f"r{step}", identity={})
    told: list[str] = []
    watch = Watch({"run": Series(source=str(tmp_path / "out"))}, store, "s", tmp_path / "held")
    with boards.on_board(Lines(told)):
        watch.look()
        assert [one.step for one in watch.there("run")] == [10, 20, 30], "they are gone, and nothing says more"
        checkpoint(tmp_path / "out" / "checkpoint-15")
        later = time.time() + 60
        os.utime(tmp_path / "out" / "checkpoint-15" / "model.safetensors", (later, later))
        watch.look()
        assert [one.step for one in watch.there("run")] == [10, 15]
        os.utime(tmp_path / "out" / "checkpoint-15" / "model.safetensors", (0, 0))
        watch.look()
        assert [one.step for one in watch.there("run")] == [10, 15, 20, 30], "it was there before they were evaluated"
    assert len(told) == 1 and "what was evaluated of 20, 30 before that is left out" in told[0]


class Lines(boards.Quiet):
    """A board that keeps what it is told."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def result(self, text: str) -> None:
        self._lines.append(text)
