"""The process that watches a training from outside: started beside it, found again by its lock, told when it dies."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_NICE = 10
"""The training comes first."""
_POLL_SECONDS = 0.5
_LAUNCHERS = ("ACCELERATE_", "DEEPSPEED_", "FSDP_", "GROUP_", "LOCAL_", "MASTER_", "NCCL_", "OMPI_", "PMI_", "ROLE_", "TORCHELASTIC_")
_LAUNCHERS_OWN = ("RANK", "WORLD_SIZE")
"""What a launcher tells the processes of a training: the watcher is none of them."""


class Watcher:
    """``valuedrift watch`` on one folder: one process at a time, whoever started it.

    The process holds a lock on a file for as long as it lives, however it dies; whoever finds the file unlocked knows that nobody watches.

    Args:
        folder: Where its log and its lock lie.
        words: What follows ``valuedrift watch``.
        environment: Variables that it has beside those of this process.
    """

    def __init__(self, folder: Path, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self.log = folder / "watcher.log"
        self._lock = folder / "watcher.lock"
        self._words = list(words)
        self._environment = {name: str(value) for name, value in environment.items()}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def line(self) -> str:
        """The command line, as a person would type it."""
        return shlex.join(["valuedrift", "watch", *self._words])

    def start(self) -> bool:
        """Start it, unless one is at work on the folder; whether it was started."""
        self._process = None
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            lock.truncate(0)
            lock.write(self.line)
            lock.flush()
            kept = {name: value for name, value in os.environ.items() if not name.startswith(_LAUNCHERS) and name not in _LAUNCHERS_OWN}
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "valuedrift.flows.cli.main", "watch", *self._words],
                    env=kept | {"COLUMNS": "160"} | self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[lock.fileno()],  # the lock is the process's from now on
                    start_new_session=True,  # it outlives the training, and Ctrl-C there
                )
        with suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICE)
        return True

    @property
    def other_line(self) -> str | None:
        """What the one at work was started with, if that is something else."""
        with suppress(OSError):
            line = self._lock.read_text(encoding="utf-8")
            return line if line != self.line else None
        return None

    def is_at_work(self) -> bool:
        """Whether somebody watches the folder now."""
        if self._process is not None:
            return self._process.poll() is None
        with suppress(OSError), self._lock.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @property
    def died(self) -> str | None:
        """How it died, if this process started it and it ended with a fault."""
        code = self._process.poll() if self._process is not None else 0
        if not code:
            return None
        if code < 0:
            return f"by signal {-code}"
        lines = self.log.read_bytes()[-4000:].decode(errors="replace").strip().splitlines() if self.log.exists() else []
        return f"with exit code {code}" + (f": {lines[-1].strip()}" if lines else "")

    def wait(self) -> None:
        """Wait until it has ended."""
        while self.is_at_work():
            time.sleep(_POLL_SECONDS)
