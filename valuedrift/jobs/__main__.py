"""The child: ``python -m valuedrift.jobs REPLY_FD`` reads paths of job files from standard input until it closes."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, TextIO

from valuedrift.errors import comes_again, fault_of
from valuedrift.progress import Progress


def main() -> None:
    """Serve jobs until the parent closes the pipe, and end at once when it does, even amid a job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what becomes of the child
    replies = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8", buffering=1)
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    while True:
        _serve(Path(jobs.get()), replies)


def _listen(jobs: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line.strip())
    os._exit(0)  # the parent closed the pipe or died: nothing that runs here is wanted any more


def _serve(path: Path, replies: TextIO) -> None:
    from valuedrift.jobs.spec import JOB

    def report(progress: Progress) -> None:
        _reply(replies, {"progress": {"done": progress.done, "total": progress.total, "note": progress.note}})

    try:
        result = JOB.validate_json(path.read_bytes()).run(report)
    except BaseException as error:  # the parent tells the user; here only the log would see it
        fault = fault_of(error)
        if fault is None or fault is not error:
            traceback.print_exc()
        if fault is not None:
            reply: dict[str, Any] = {"fault": {"what": fault.what, "where": fault.where, "fix": fault.fix, "kind": type(fault).__name__}}
        else:
            reply = {"crash": {"kind": type(error).__name__, "message": str(error)[:2000], "again": comes_again(error)}}
    else:
        reply = {"result": result.model_dump(mode="json")}
    sys.stdout.flush()
    sys.stderr.flush()
    _reply(replies, reply)


def _reply(replies: TextIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
