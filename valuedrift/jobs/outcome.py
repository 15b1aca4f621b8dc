"""What a child tells its parent of a job: one JSON object a line."""

from __future__ import annotations

import json
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from valuedrift.errors import comes_again, fault_of
from valuedrift.progress import Progress


def leave_signals_to_parent() -> None:
    """Heed no signal that asks to end: a terminal, or what stops a machine, sends them to the whole group, and the parent decides what becomes of the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)  # no SIG_IGN: what the child starts would inherit it, and could not be ended so


def outcome(path: Path, report: Callable[[Progress], None]) -> dict[str, Any]:
    """Run the job of a file to its end, whichever it is.

    Args:
        path: The job's file.
        report: Told how far it has come.

    Returns:
        ``result``, ``fault`` (of what the user gave) or ``crash``, with its parts.
    """
    from valuedrift.engines.kept import KEPT
    from valuedrift.jobs.spec import JOB

    try:
        job = JOB.validate_json(path.read_bytes())
        if not job.leaves_room:
            KEPT.let_go()
        result = job.run(report)
    except BaseException as error:  # the parent tells the user; here only the log would see it
        fault = fault_of(error)
        if fault is None or fault is not error:
            traceback.print_exc()
        if fault is not None:
            return {"fault": {"what": fault.what, "where": fault.where, "fix": fault.fix, "kind": type(fault).__name__}}
        return {"crash": {"kind": type(error).__name__, "message": str(error)[:2000], "again": comes_again(error)}}
    return {"result": result.model_dump(mode="json")}


def tell(replies: TextIO, message: dict[str, Any]) -> None:
    """Write one message."""
    replies.write(json.dumps(message) + "\n")
    replies.flush()


def progress_of(progress: Progress) -> dict[str, Any]:
    """How far a job has come, as a message."""
    return {"progress": {"done": progress.done, "total": progress.total, "note": progress.note}}
