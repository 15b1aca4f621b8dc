"""The child: ``python -m valuedrift.jobs REPLY_FD`` reads paths of job files from standard input until it closes."""

from __future__ import annotations

import os
import queue
import sys
import threading
from pathlib import Path
from typing import TextIO

from valuedrift.jobs.outcome import leave_signals_to_parent, outcome, progress_of, tell

_IDLE_SECONDS = 600.0
"""An engine that waits longer than this for its next checkpoint is let go."""


def main() -> None:
    """Serve jobs until the parent closes the pipe, and end at once when it does, even amid a job."""
    leave_signals_to_parent()
    replies = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8", buffering=1)
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    while True:
        _serve(Path(_next(jobs)), replies)


def _next(jobs: queue.SimpleQueue[str]) -> str:
    """The next job; while none comes for long, nothing is kept for it."""
    try:
        return jobs.get(timeout=_IDLE_SECONDS)
    except queue.Empty:
        _let_go()
        return jobs.get()


def _let_go() -> None:
    from valuedrift.engines.kept import KEPT

    KEPT.let_go()


def _listen(jobs: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line.strip())
    os._exit(0)  # the parent closed the pipe or died: nothing that runs here is wanted any more


def _serve(path: Path, replies: TextIO) -> None:
    reply = outcome(path, lambda progress: tell(replies, progress_of(progress)))
    sys.stdout.flush()
    sys.stderr.flush()
    tell(replies, reply)


if __name__ == "__main__":
    main()
