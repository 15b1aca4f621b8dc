"""The commands of docs/deploy.md from nothing to a scheduled run, read out of the page and run as they stand: in an empty folder, with a home of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from cluster import ended

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(3600)]

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
COMMANDS = re.search(r"^## From nothing to a scheduled run\n+```\n(.*?)```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
API = "http://127.0.0.1:4200/api"
Row = dict[str, Any]


def asked(path: str, **body: Any) -> Any:
    return httpx.post(f"{API}{path}", json=body, timeout=60).raise_for_status().json()


def until(seen: Callable[[], Any], seconds: float) -> Any:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        with suppress(httpx.TransportError):  # SQLite on a busy machine
            if found := seen():
                return found
        time.sleep(2)
    raise AssertionError(f"not seen in {seconds:.0f} s: {asked('/flow_runs/filter')}")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of somebody who begins: a home with nothing in it, the programs on the path, no setting of Prefect or of valuedrift."""
    with socket.socket() as port:
        if port.connect_ex(("127.0.0.1", 4200)) == 0:
            pytest.skip("something listens on port 4200, which the page names")
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "VALUEDRIFT"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **kept,
        "HOME": str(home),
        "PATH": path,
        "PREFECT_HOME": str(home / ".prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    yield environment
    for process in psutil.process_iter(["cmdline", "environ"]):
        if (process.info["environ"] or {}).get("PREFECT_HOME") == environment["PREFECT_HOME"]:
            process.kill()


def test_a_run_by_schedule_comes_of_the_commands_as_they_stand(environment: dict[str, str], tmp_path: Path) -> None:
    assert COMMANDS is not None
    *first, deploy, worker = COMMANDS[1].splitlines()
    assert len(COMMANDS[1].splitlines()) == 5 and worker.startswith("prefect worker start") and deploy.startswith("valuedrift deploy")
    folder = tmp_path / "empty"
    folder.mkdir()

    def run(*lines: str) -> str:
        done = subprocess.run(
            ["bash", "-e"], input="\n".join(lines), cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return done.stdout

    export = next(line for line in first if line.startswith("export"))
    said = run(*first, deploy)
    assert "deployment trace/nightly, schedule 0 3 * * * UTC (on)" in said and "automation valuedrift: dead flow run" in said, said

    (deployed,) = asked("/deployments/filter", deployments={"name": {"any_": ["nightly"]}})
    assert deployed["global_concurrency_limit"]["limit"] == 1 and deployed["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert deployed["tags"] == ["study:nightly"] and deployed["enforce_parameter_schema"]
    nightly = until(lambda: asked("/flow_runs/filter", deployments={"name": {"any_": ["nightly"]}}), 300)
    assert {one["expected_start_time"][11:16] for one in nightly} == {"03:00"}, "Prefect's scheduler wrote the nights that come"

    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen(
            ["bash", "-e"], stdin=subprocess.PIPE, cwd=folder, env=environment, stdout=log, stderr=log, text=True, start_new_session=True
        )
        assert process.stdin is not None
        process.stdin.write(f"{export}\nexec {worker}\n")
        process.stdin.close()
    try:
        said = run(export, deploy.replace("0 3 * * *", "* * * * *"))
        assert "schedule * * * * * UTC (on)" in said

        ended_states = {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}}

        def done() -> list[Row]:
            runs = asked("/flow_runs/filter", deployments={"name": {"any_": ["nightly"]}}, flow_runs=ended_states)
            return runs if len(runs) > 1 else []

        ran: list[Row] = until(done, 2400)
    finally:
        ended(process)
    assert all(one["auto_scheduled"] and one["state_type"] == "COMPLETED" and "study:nightly" in one["tags"] for one in ran), ran
    times = sorted((one["start_time"], one["end_time"]) for one in ran)
    assert all(before[1] <= after[0] for before, after in pairwise(times)), "one at a time"
    assert (folder / "valuedrift-data" / "reports" / "nightly" / "report.html").is_file()
    home = Path(environment["HOME"])
    assert not list(home.rglob("storage/*")), "results lie in the root alone"
