"""Prefect's temporary server, started by a command where no other is named.

It is deaf to Ctrl-C and to a SIGTERM that is sent to all processes of the command, calm while nothing happens, and gone when the command is, however that ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import valuedrift
from valuedrift.errors import StageError

_CALM = timedelta(seconds=5)
"""How often the server looks for its own housekeeping. Prefect's four times a second, with scripts of Lua, alone took most of what a watch takes while nothing
happens; how runs and tasks go on does not hang on it."""
_UNHEARD = {signal.SIGINT, signal.SIGTERM}
_ASKED_TO_END = signal.SIGUSR1
"""How the command asks its server to end."""
_PATIENCE_SECONDS = 1.0
"""How long the server is given to end by itself."""

_GUARD = """
import sys
import psutil
server = psutil.Process(int(sys.argv[1]))
print("guarded", flush=True)
sys.stdin.read()
try:
    server.kill()
except psutil.NoSuchProcess:
    pass
"""
"""Ends the server once its own input closes, which it does when the command ends, by SIGKILL too; psutil knows another process of the same number."""


def start_own_server() -> None:
    """Start Prefect's temporary server where no other is named, deaf to what a terminal or whatever stops a machine sends to every process of a command.

    It has to outlive the run, which tells it how each task ended, and waits for minutes where it no longer listens. It is stopped when this process ends.

    Raises:
        StageError: It does not start in time, or not at all.
    """
    from httpx import HTTPStatusError
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        return

    class Guarded(SubprocessASGIServer):
        """Is what Prefect finds when it asks for its server: the instances are the parent class's."""

        def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
            server = subprocess.Popen(_command(int(self.port or 0)), env=_environment())
            _guard(server.pid)
            return server

        def stop(self) -> None:
            if (server := self.server_process) is not None:
                server.send_signal(_ASKED_TO_END)
                with suppress(subprocess.TimeoutExpired):
                    server.wait(_PATIENCE_SECONDS)
                server.kill()  # nobody asks it any more; what it still waits for are connections of ours
            super().stop()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, _UNHEARD)  # a child is born with the mask of the thread that starts it
    try:
        Guarded().start()
    except (RuntimeError, HTTPStatusError) as error:
        seconds = settings.server.ephemeral.startup_timeout_seconds
        what = f"Prefect's temporary server did not start in {seconds} s, and nothing was begun: {error}"
        fix = "run the same command again where less goes on; or prefect server start, and name it by PREFECT_API_URL"
        raise StageError(what, fix=fix) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _command(port: int) -> list[str]:
    """What Prefect starts, with an application of ours."""
    application = [
        sys.executable,
        "-m",
        "uvicorn",
        "--app-dir",
        str(Path(valuedrift.__path__[0]).parent),
        "--factory",
        f"{__name__}:calm_server",
    ]
    return [*application, "--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"]


def _environment() -> dict[str, str]:
    from prefect.settings import get_current_settings

    temporary = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    return {**os.environ, **temporary, **get_current_settings().to_environment_variables(exclude_unset=True)}


def calm_server() -> Any:
    """Prefect's server, looking for its housekeeping now and then, and ending when its command asks for it."""
    from docket import Worker
    from prefect.server.api import background_workers, server

    signal.signal(_ASKED_TO_END, _hear_sigterm)
    # Prefect leaves no setting for it
    vars(background_workers)["Worker"] = partial(Worker, minimum_check_interval=_CALM, scheduling_resolution=_CALM)
    return server.create_app()


def _hear_sigterm(*_: object) -> None:
    """End as uvicorn does at SIGTERM."""
    signal.raise_signal(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _guard(pid: int) -> None:
    """Have a process ended when this one is, by a process of its own session that nothing sent to the command reaches."""
    guard = subprocess.Popen(
        [sys.executable, "-c", _GUARD, str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert guard.stdout is not None
    guard.stdout.readline()
    _GUARDS.append(guard)


_GUARDS: list[subprocess.Popen[bytes]] = []
"""Held, for their input closes when they are forgotten."""
