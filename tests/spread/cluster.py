"""A real Prefect server with PostgreSQL behind it where there is one, and workers that share nothing but the root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

QUICK_AND_PATIENT = {
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
    "PREFECT_CLIENT_MAX_RETRIES": "7",
}
"""Of a worker, as docs/deploy.md advises."""
PREFECT = str(Path(sys.executable).parent / "prefect")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def ended(process: subprocess.Popen[str]) -> None:
    """End a process and all that it started."""
    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


@contextmanager
def postgres() -> Iterator[str | None]:
    """The address of an empty database; None where PostgreSQL is not installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        yield None
        return
    user = {"user": "postgres"} if os.getuid() == 0 else {}  # it refuses to run as root
    folder, port = Path(tempfile.mkdtemp(prefix="pg-")), free_port()
    try:
        if user:
            shutil.chown(folder, "postgres")
        run = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **user}
        control = [str(programs[-1].with_name("pg_ctl")), "-D", str(folder / "data"), "-w"]
        subprocess.run([str(programs[-1]), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-N"], **run)
        subprocess.run([*control, "-o", f"-p {port} -k {folder} -c fsync=off", "-l", str(folder / "log"), "start"], **run)
        try:
            yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Gate:
    """A way to a server on loopback that can be shut: whoever goes by it finds the server away.

    Args:
        port: The server's.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._through: list[socket.socket] = []
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}/api"
        self.is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Let nobody through, and break what goes on."""
        self.is_open = False
        for one in self._through:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            asked, _ = self._socket.accept()
            if not self.is_open:
                asked.close()
                continue
            answering = socket.create_connection(("127.0.0.1", self._server))
            self._through += [asked, answering]
            for one, other in ((asked, answering), (answering, asked)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while some := one.recv(65536):
                other.sendall(some)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Cluster:
    """A server, and what commands and workers need to reach it."""

    folder: Path
    address: str
    reaching: Mapping[str, str] = field(default_factory=dict)
    """What a machine must have in its environment to reach the bucket."""

    def environment(self, name: str) -> dict[str, str]:
        """Of a machine of its own: home, Prefect's home, cache."""
        home = self.folder / name
        (home / ".prefect").mkdir(parents=True, exist_ok=True)
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("PREFECT")},
            "HOME": str(home),
            "PREFECT_HOME": str(home / ".prefect"),
            "VALUEDRIFT_CACHE": str(home / "cache"),
            "PREFECT_API_URL": self.address,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
            **self.reaching,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command of valuedrift, on the planner's machine."""
        command = [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment("planner"), **output)

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        said = process.communicate(timeout=500)[0]
        assert process.returncode == code, said
        return said

    @contextmanager
    def worker(self, name: str, limit: int = 2) -> Iterator[subprocess.Popen[str]]:
        """A process worker on a machine of its own."""
        environment = {**self.environment(name), **QUICK_AND_PATIENT}
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [PREFECT, "worker", "start", "--pool", "valuedrift", "--type", "process", "--name", name, "--limit", str(limit)],
                env=environment, stdout=log, stderr=log, text=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            ended(process)


def flow_runs(cluster: Cluster) -> list[dict[str, Any]]:
    """All flow runs as the server's API has them, each with ``times``: when it came into each state, in seconds."""
    with httpx.Client(base_url=cluster.address, timeout=60) as client:
        runs: list[dict[str, Any]] = client.post("/flow_runs/filter", json={"limit": 200}).raise_for_status().json()
        for run in runs:
            states = client.get("/flow_run_states/", params={"flow_run_id": run["id"]}).raise_for_status().json()
            run["times"] = {state["name"]: datetime.fromisoformat(state["timestamp"]).timestamp() for state in states}
    return runs
