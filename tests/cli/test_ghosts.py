"""A flow run whose process was killed is marked as crashed by the next one of the machine; one that goes on, or that another server shows, is left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_FLOW = """
import json, sys, time
from prefect import flow, task
from prefect.client.orchestration import get_client
from valuedrift.flows.cli.own_server import start_own_server
from valuedrift.flows.ghosts import known_to_live

@task
def wait(seconds):
    print("waits", flush=True)
    time.sleep(seconds)

@flow(name="trace")
def trace(seconds):
    with known_to_live():
        wait(seconds)

start_own_server()  # which ends with a command that is killed
trace(float(sys.argv[1]))
with get_client(sync_client=True) as client:
    print("STATES", json.dumps(sorted(run.state_name for run in client.read_flow_runs())))
"""


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_was_killed_is_shown_as_crashed_by_the_next_run(tmp_path: Path) -> None:
    def start(seconds: float, home: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PREFECT_HOME": str(tmp_path / home), "VALUEDRIFT_CACHE": str(tmp_path / "cache")}
        environment.pop("PREFECT_API_URL", None)
        command = [sys.executable, "-c", _FLOW, str(seconds)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def waits(run: subprocess.Popen[str]) -> None:
        assert run.stdout is not None and any("waits" in line for line in run.stdout)

    def told(run: subprocess.Popen[str]) -> list[str]:
        output = run.communicate(timeout=300)[0]
        line = next(line for line in output.splitlines() if line.startswith("STATES"))
        return list(json.loads(line.removeprefix("STATES")))

    killed, goes_on = start(600, "one"), start(600, "one")
    try:
        waits(killed)
        waits(goes_on)
        killed.kill()
        killed.wait()
        assert told(start(0, "other")) == ["Completed"], "another server has its own runs"
        locks = len(list((tmp_path / "cache" / "flow-runs").glob("*.lock")))
        assert locks == 2, "what the first server shows is left for who speaks with it"
        assert told(start(0, "one")) == ["Completed", "Crashed", "Running"]
        assert len(list((tmp_path / "cache" / "flow-runs").glob("*.lock"))) == 1
    finally:
        for run in (killed, goes_on):
            run.kill()
            run.wait()
