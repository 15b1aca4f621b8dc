"""Who writes into a run's folder: one process at a time, and what shows that it once were two."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from filelock import FileLock, Timeout

from valuedrift.atomic import write_whole
from valuedrift.errors import StageError

_LOCK = ".lock"
_NAME = ".writer"
OF_WRITER = (_LOCK, _NAME)
"""Files of a folder that say who writes into it."""
_ONE_A_STEP = ("metrics.jsonl", "held-out.jsonl")
_POLL_SECONDS = 0.5


class Writer:
    """The right to write into a folder: of the process that holds the lock there, and, where locks do not hold, of the last that left its name.

    Args:
        out: The folder.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._name = ""

    @contextmanager
    def alone(self, waits: Callable[[], None]) -> Iterator[None]:
        """Be the only one; who writes there now is waited for.

        The claim on a training keeps others out, but one whose parent was stopped, or is about to end, may still be at work.

        Args:
            waits: Called now and then while another process writes there.
        """
        lock = FileLock(self._out / _LOCK, thread_local=False, fallback_to_soft=False)
        while True:
            try:
                lock.acquire(timeout=_POLL_SECONDS)
            except Timeout:
                waits()
                continue
            except OSError:  # no locks on this file system: the other is refused when it writes next
                pass
            break
        self._name = secrets.token_hex(8)
        write_whole(self._out / _NAME, self._name.encode())
        try:
            yield
        finally:
            lock.release()

    def check(self) -> None:
        """See that nobody else took the folder; asked before anything is written.

        Raises:
            StageError: Another process trains in it now, because this one had slept.
        """
        if self._name and (self._out / _NAME).read_text(encoding="utf-8") != self._name:
            raise StageError("another process goes on with this training", where=str(self._out))


def doubled_step(out: Path) -> int | None:
    """A step that a run's folder tells of twice, because two processes of version 0.2 trained into it at once; None where all is well."""
    for path in (out / name for name in _ONE_A_STEP if (out / name).exists()):
        steps = [int(json.loads(line)["step"]) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        for before, after in pairwise(steps):
            if after <= before:
                return after
    return None
