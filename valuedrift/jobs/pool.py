"""A few children shared by many threads: as many as the runtime has workers."""

from __future__ import annotations

import heapq
import itertools
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from valuedrift.errors import StageError, StoppedError
from valuedrift.jobs.supervisor import Supervisor
from valuedrift.progress import Progress

_TO_SPARE_SECONDS = 2.0
"""Beyond the patience with which a job is waited for, whose own thread ends it then."""


class ChildPool:
    """Runs jobs in at most ``workers`` children; one that did its job waits for the next, so that imports are paid once and what it keeps is of use again.

    Args:
        scratch: Folder for job files and logs; each job gets a folder of its own below it, removed when the job ends.
        workers: Children at a time.
        threads: CPU threads of each.
        launcher: Command that starts the processes of a job that is run with ``fresh=True``; none: the child does it alone.
        processes: How many it starts; they share out the threads of a child.
        patience: Seconds that jobs which save what they have may take for it when all is stopped.
        waiting: Entered while a job waits for its turn.
        slot: Given what says whether the pool was stopped; held while a job runs, beside its child.
        unwanted: Asked now and then, by the thread that waits for a job, whether its result has become useless; the job is then ended.
    """

    def __init__(
        self,
        scratch: Path,
        *,
        workers: int,
        threads: int,
        launcher: Sequence[str] = (),
        processes: int = 1,
        patience: float = 0.0,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
        slot: Callable[[Callable[[], bool]], AbstractContextManager[None]] = lambda _: nullcontext(),
        unwanted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._scratch = scratch
        self._launcher = tuple(launcher)
        self._threads = max(1, threads // processes)
        self._patience = patience
        self._saving = 0
        self._waiting_shown = waiting
        self._slot = slot
        self._unwanted = unwanted
        self._all = [Supervisor(scratch / "logs" / f"worker-{index}.log", threads=threads) for index in range(workers)]
        self._idle = list(self._all)
        self._waiting: list[tuple[int, int]] = []
        self._arrivals = itertools.count()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._at_once = threading.Event()

    def run(
        self,
        make_job: Callable[[Path], BaseModel],
        *,
        shown: Callable[[], AbstractContextManager[Callable[[Progress], None]]] = lambda: nullcontext(lambda _: None),
        timeout: float | None = None,
        fresh: bool = False,
        saves: bool = False,
        priority: int = 0,
        keeps: str | None = None,
        collect: Callable[[Path, dict[str, Any]], Any] = lambda _, result: result,
    ) -> Any:
        """Wait for a child, run a job in it, and collect what it left in its folder.

        Args:
            make_job: Given the job's own folder, returns the job.
            shown: Entered when the job really begins; yields what is called with the child's progress.
            timeout: Seconds from the job's start.
            fresh: End the process after this job, so that its memory is really freed; with a launcher, start one by it.
            saves: Whether the job saves what it has when a file ``stop`` appears in its folder.
            priority: Of the jobs that wait, the lowest goes first, then the one that came first.
            keeps: What the child keeps in memory after this job, and would have done with: a child that keeps the same is taken first.
            collect: Given the folder and the result, returns what the caller wants, before the folder is removed.

        Raises:
            UserError: See :meth:`Supervisor.run`.
        """
        with ExitStack() as turn:
            with self._waiting_shown():
                child = turn.enter_context(self._child(fresh, priority, keeps))
                turn.enter_context(self._slot(self._stop.is_set))
            folder, report = turn.enter_context(self._folder()), turn.enter_context(shown())
            turn.enter_context(self._counted(saves))
            try:
                result = child.run(
                    make_job(folder),
                    folder,
                    progress=report,
                    timeout=timeout,
                    cancelled=lambda: self._at_once.is_set() or self._unwanted(),
                    stopping=self._stop.is_set,
                    patience=self._patience if saves else 0.0,
                )
            except StoppedError:
                raise
            except StageError as error:
                if self._stop.is_set():
                    raise StoppedError("stopped") from error
                raise
            return collect(folder, result)

    def stop(self) -> None:
        """End all jobs, those that wait and those under way, with a StoppedError; a job that saves what it has is given time for it, any other is killed."""
        with self._changed:
            self._stop.set()
            self._changed.notify_all()

    def close(self) -> None:
        """Stop, and wait until all children have ended; Ctrl-C kills those that still save what they have."""
        self.stop()
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._saving, timeout=self._patience + _TO_SPARE_SECONDS)
        finally:
            self._at_once.set()
            for child in self._all:
                child.close()

    @contextmanager
    def _counted(self, saves: bool) -> Iterator[None]:
        with self._changed:
            self._saving += saves
        try:
            yield
        finally:
            with self._changed:
                self._saving -= saves
                self._changed.notify_all()

    @contextmanager
    def _child(self, fresh: bool, priority: int, keeps: str | None) -> Iterator[Supervisor]:
        child = self._take(priority, keeps)
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
                elif keeps is not None:
                    child.keeps = keeps
        finally:
            with self._changed:
                self._idle.append(child)
                self._changed.notify_all()

    def _take(self, priority: int, keeps: str | None) -> Supervisor:
        ticket = (priority, next(self._arrivals))
        with self._changed:
            heapq.heappush(self._waiting, ticket)
            try:
                self._changed.wait_for(lambda: self._stop.is_set() or (bool(self._idle) and self._waiting[0] == ticket))
            finally:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
            if self._stop.is_set():
                raise StoppedError("stopped before it began")
            child = self._best(keeps)
            self._idle.remove(child)
            self._changed.notify_all()
            return child

    def _best(self, keeps: str | None) -> Supervisor:
        """Of the idle children the one that keeps the same, else one that keeps anything, for it may go on from that, else the one that was last at work."""
        worth = [(0, 0) if keeps is None else (child.keeps == keeps, child.keeps is not None) for child in self._idle]
        return max(zip(worth, itertools.count(), self._idle, strict=False), key=lambda entry: entry[:2])[2]

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        self._scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="job-", dir=self._scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
