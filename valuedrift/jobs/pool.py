"""A few children shared by many threads: as many as the runtime has workers."""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from valuedrift.jobs.supervisor import Supervisor
from valuedrift.progress import Progress


class ChildPool:
    """Runs jobs in at most ``workers`` children; a child that did its job waits for the next, so imports are paid once.

    Args:
        scratch: Folder for job files and logs; each job gets a folder of its own below it, removed when the job ends.
        workers: Children at a time.
        threads: CPU threads of each.
        launcher: Command put before python for jobs run with ``launched=True``.
    """

    def __init__(self, scratch: Path, *, workers: int, threads: int, launcher: Sequence[str] = ()) -> None:
        self._scratch = scratch
        self._launcher = tuple(launcher)
        self._threads = threads
        self._idle: queue.Queue[Supervisor] = queue.Queue()
        for index in range(workers):
            self._idle.put(Supervisor(scratch / "logs" / f"worker-{index}.log", threads=threads))
        self._all = list(self._idle.queue)
        self._stop = threading.Event()

    def run(
        self,
        make_job: Callable[[Path], BaseModel],
        *,
        progress: Callable[[Progress], None] = lambda _: None,
        timeout: float | None = None,
        fresh: bool = False,
        collect: Callable[[Path, dict[str, Any]], Any] = lambda _, result: result,
    ) -> Any:
        """Wait for a child, run a job in it, and collect what it left in its folder.

        Args:
            make_job: Given the job's own folder, returns the job.
            progress: Called with what the child reports.
            timeout: Seconds from the job's start.
            fresh: Start a new process for this job and end it after, so that its memory is really freed.
            collect: Given the folder and the result, returns what the caller wants, before the folder is removed.

        Raises:
            UserError: See :meth:`Supervisor.run`.
        """
        with self._child(fresh) as child, self._folder() as folder:
            result = child.run(make_job(folder), folder, progress=progress, timeout=timeout, cancelled=self._stop.is_set)
            return collect(folder, result)

    def stop(self) -> None:
        """Kill all children; jobs under way end with a StageError."""
        self._stop.set()

    def close(self) -> None:
        """Kill all children and forget them."""
        self._stop.set()
        for child in self._all:
            child.close()

    @contextmanager
    def _child(self, fresh: bool) -> Iterator[Supervisor]:
        child = self._idle.get()
        try:
            if fresh and self._launcher:
                child.close()
                launched = Supervisor(self._scratch / "logs" / "launched.log", threads=self._threads, launcher=self._launcher)
                try:
                    yield launched
                finally:
                    launched.close()
            else:
                yield child
                if fresh:
                    child.close()
        finally:
            self._idle.put(child)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        self._scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="job-", dir=self._scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
