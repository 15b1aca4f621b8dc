"""Prefect's temporary server ends with the command that started it, also where nothing of the command can run any more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

_COMMAND = """
import time
import valuedrift.flows.cli.own_server as own
from prefect.server.api.server import SubprocessASGIServer
own.start_own_server()
print(SubprocessASGIServer().server_process.pid, own._GUARDS[0].pid, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_killed_command_leaves_no_server(tmp_path: Path) -> None:
    environs = {**os.environ, "PREFECT_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    environs.pop("PREFECT_API_URL", None)
    command = subprocess.Popen([sys.executable, "-c", _COMMAND], env=environs, stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    server, guard = (psutil.Process(int(pid)) for pid in command.stdout.readline().split())
    assert "uvicorn" in server.cmdline()
    command.kill()
    command.wait()
    until = time.monotonic() + 20
    while time.monotonic() < until and any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in (server, guard)):
        time.sleep(0.1)
    try:
        assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
        assert not guard.is_running() or guard.status() == psutil.STATUS_ZOMBIE
    finally:
        if server.is_running():
            server.kill()


@pytest.mark.slow
def test_a_server_that_does_not_start_in_time_is_told_in_words(tmp_path: Path) -> None:
    command = """
import valuedrift.flows.cli.own_server as own
from valuedrift.errors import StageError
try:
    own.start_own_server()
except StageError as fault:
    print(fault)
"""
    environs = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    environs.pop("PREFECT_API_URL", None)
    ended = subprocess.run([sys.executable, "-c", command], env=environs, capture_output=True, text=True, timeout=300)
    assert ended.stdout.startswith("Prefect's temporary server did not start in 1 s, and nothing was begun"), ended.stdout + ended.stderr
    assert "PREFECT_API_URL" in ended.stdout


@pytest.mark.slow
def test_a_server_that_is_away_makes_no_noise_beside_our_line(tmp_path: Path) -> None:
    command = """
from valuedrift.flows.cli.console import hush_prefect
hush_prefect()
from prefect.logging.handlers import APILogWorker
from prefect.concurrency.sync import concurrency
try:
    with concurrency("gone", timeout_seconds=5, strict=True):
        pass
except Exception as error:
    print(type(error).__name__)
APILogWorker.instance().send({"message": "x"})
APILogWorker.instance().drain()
"""
    environs = {**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": "http://127.0.0.1:1/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    environs["PYTHONPATH"] = str(Path(__file__).parents[2])
    ended = subprocess.run([sys.executable, "-c", command], env=environs, capture_output=True, text=True, timeout=300)
    assert (ended.stdout.strip(), ended.stderr) == ("ConcurrencySlotAcquisitionError", "")
