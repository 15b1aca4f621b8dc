"""What a watch takes of the processor while nothing happens: its own process, Prefect's temporary server, and the child that waits for a checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from valuedrift.models.resolve import resolve_model

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))  # tiny_models
_SECONDS = 25.0
_STUDY = """
study: idle
probes: {set: starter, topics: [immigration], per_topic: 2}
series: {idle: {source: SOURCE, base: 'embedded:smollm2-135m-instruct', quiet_seconds: 1}}
sampling: {n: 1, max_new_tokens: 2}
"""


def _processor(command: psutil.Process) -> dict[int, tuple[float, str]]:
    """Seconds of processor time of a process and all that it started, with how each is called."""
    spent = {}
    for one in [command, *command.children(recursive=True)]:
        times = one.cpu_times()
        spent[one.pid] = times.user + times.system, " ".join(one.cmdline())[:60]
    return spent


def _shares(command: psutil.Process) -> dict[str, float]:
    """Shares of a core that it and all that it started take over a while, by name; the least busy of two whiles is nearest to what they take themselves."""
    before, begun = _processor(command), time.monotonic()
    time.sleep(_SECONDS)
    after, seconds = _processor(command), time.monotonic() - begun
    return {f"{pid} {name}": (spent - before[pid][0]) / seconds for pid, (spent, name) in after.items() if pid in before}


@pytest.mark.slow
@pytest.mark.benchmark
def test_a_watch_takes_under_a_hundredth_of_a_core_while_nothing_happens(tmp_path: Path) -> None:
    from tiny_models import lora

    base = resolve_model("embedded:smollm2-135m-instruct")
    checkpoint = tmp_path / "out" / "checkpoint-1"
    lora(checkpoint, base, 1, target_modules=["q_proj"])
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": 1, "max_steps": 9}), encoding="utf-8")
    study = tmp_path / "idle.yaml"
    study.write_text(_STUDY.replace("SOURCE", str(tmp_path / "out")), encoding="utf-8")
    environs = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(Path(__file__).parents[2])}
    environs.pop("PREFECT_API_URL", None)
    log = tmp_path / "watch.log"
    with log.open("w", encoding="utf-8") as out:
        command = [sys.executable, "-m", "valuedrift.flows.cli.main", "watch", str(study), "--root", str(tmp_path / "root")]
        watch = subprocess.Popen(command, env=environs, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 400
        while "done report" not in log.read_text(encoding="utf-8") and time.monotonic() < until and watch.poll() is None:
            time.sleep(0.5)
        assert watch.poll() is None and "done report" in log.read_text(encoding="utf-8"), log.read_text(encoding="utf-8")
        time.sleep(32)  # by then it looks less often
        shares = min((_shares(psutil.Process(watch.pid)) for _ in range(2)), key=lambda shares: sum(shares.values()))
    finally:
        watch.terminate()
        watch.wait(timeout=60)
    print(f"\n{'a watch while nothing happens':<72}{'of a core':>10}")
    for name, share in (*shares.items(), ("all", sum(shares.values()))):
        print(f"{name!r:<72}{share:>10.2%}")
    server = sum(share for name, share in shares.items() if "uvicorn" in name)
    assert sum(shares.values()) - server < 0.01, "the watcher sleeps"
    assert server < 0.02, "Prefect's temporary server, which is there where no other is named, is calm"
