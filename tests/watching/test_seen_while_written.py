"""The checkpoints that are gone are read from the tables while another thread writes the same table again."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import polars as pl

from valuedrift.storage.store import Store
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
