"""One of several processes that do a job together: ``LAUNCHER -m valuedrift.jobs.together REPLIES JOB``.

Launchers such as torchrun start the same command many times and hand on no open pipe but standard input, on which nothing is sent: so all read the job from
its file, and a named pipe takes the replies. The first tells progress and result. Any tells why it failed, and then waits to be ended, lest the launcher
ends the others before they have told; the parent believes the first word.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from valuedrift.jobs.outcome import leave_signals_to_parent, outcome, progress_of, tell
from valuedrift.progress import Progress


def main() -> None:
    """Do the job, and end at once when the parent does."""
    leave_signals_to_parent()
    replies = Path(sys.argv[1]).open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 # until the process ends
    threading.Thread(target=_watch_parent, daemon=True).start()
    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    first = rank == 0

    def report(progress: Progress) -> None:
        if first:
            tell(replies, progress_of(progress))

    reply = outcome(Path(sys.argv[2]), report)
    if "crash" in reply and processes > 1:
        reply["crash"]["message"] = f"in process {rank + 1} of {processes}: {reply['crash']['message']}"
    sys.stdout.flush()
    sys.stderr.flush()
    if first or "result" not in reply:
        tell(replies, reply)
    if "result" not in reply:
        threading.Event().wait()


def _watch_parent() -> None:
    sys.stdin.read()
    os._exit(0)  # the parent closed the pipe or died


if __name__ == "__main__":
    main()
