"""The parent's side: one supervised child that runs one job after another."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel

from valuedrift.errors import DataError, SameAgainError, StageError, StoppedError, UserError
from valuedrift.progress import Progress

_POLL_SECONDS = 0.25
_TAIL_LINES = 12
_END = ""
"""In place of a line: the child closed the pipe, so it ended."""
_FAULTS: Mapping[str, type[UserError]] = {kind.__name__: kind for kind in (UserError, DataError, StageError, SameAgainError, StoppedError)}
STOP = "stop"
"""A file in a job's folder: the job is to save what it has, and end."""
_ENVIRONMENT = {
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait must not spin: on busy cores that costs many times the work
    "MALLOC_ARENA_MAX": "2",  # glibc otherwise keeps freed memory in an arena a thread: gigabytes over a few trainings
}


class Supervisor:
    """A child process that holds weights, so that memory is really freed and a crash is contained.

    The child stays in the parent's process group (a terminal's Ctrl-C and the Prefect UI's cancel reach it), writes to its own log file, and ends with its
    parent. It is started at the first job and kept for the next one until :meth:`close`.

    Args:
        log: File that takes the child's standard output and error (appended).
        threads: CPU threads the child may use.
        launcher: Command that starts the processes of a job, e.g. ``accelerate launch`` with its options; such a child does one job.
    """

    def __init__(self, log: Path, *, threads: int, launcher: Sequence[str] = ()) -> None:
        self._log = log
        self._threads = threads
        self._launcher = tuple(launcher)
        self._child: subprocess.Popen[str] | None = None
        self.keeps: str | None = None
        """What its child may keep in memory for the next job, as :meth:`ChildPool.run` was told."""
        self._replies: queue.SimpleQueue[str] = queue.SimpleQueue()

    def run(
        self,
        job: BaseModel,
        folder: Path,
        *,
        progress: Callable[[Progress], None] = lambda _: None,
        timeout: float | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        stopping: Callable[[], bool] = lambda: False,
        patience: float = 0.0,
    ) -> dict[str, Any]:
        """Run one job to its end.

        Args:
            job: A member of ``valuedrift.jobs.spec.Job``.
            folder: Where the job file is written.
            progress: Called with what the child reports.
            timeout: Seconds after which the child is killed.
            cancelled: Asked four times a second; when true the child is killed.
            stopping: Asked as often; when true the job is asked to save what it has and end, by a file ``stop`` in its folder, if it has done anything.
            patience: Seconds that it may take for that before the child is killed.

        Returns:
            The job's result as JSON-able values.

        Raises:
            UserError: The job found a fault in what the user gave.
            StoppedError: It was asked to stop.
            StageError: The child crashed, was killed, ran out of memory or time; with the last lines of its log.
        """
        path = folder / "job.json"
        path.write_text(job.model_dump_json(), encoding="utf-8")
        child, replies = self._launch(path) if self._launcher else self._start()
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            if not self._launcher:
                assert child.stdin is not None
                child.stdin.write(f"{path}\n")
                child.stdin.flush()
            return self._await(child, replies, progress, deadline, cancelled, _Asked(folder / STOP, stopping, patience))
        except BrokenPipeError as error:
            raise self._died(child, cancelled) from error
        except BaseException as error:
            if not isinstance(error, UserError) or isinstance(error, StageError):
                self.kill()
            raise

    def close(self) -> None:
        """Let an idle child end; harmless when there is none."""
        self.kill()

    def kill(self) -> None:
        """End the child and whatever it started, at once."""
        child, self._child, self.keeps = self._child, None, None
        if child is not None:
            _kill_tree(child.pid)
            child.wait()
            if child.stdin is not None:
                child.stdin.close()

    def _start(self) -> tuple[subprocess.Popen[str], queue.SimpleQueue[str]]:
        if self._child is not None and self._child.poll() is None:
            return self._child, self._replies
        reading, writing = os.pipe()
        try:
            child = self._spawn([sys.executable, "-m", "valuedrift.jobs", str(writing)], writing)
        finally:
            os.close(writing)
        return child, self._hear(reading)

    def _launch(self, job: Path) -> tuple[subprocess.Popen[str], queue.SimpleQueue[str]]:
        """Start the processes of one job, which reply through a named pipe."""
        pipe = job.with_name("replies")
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        writing = os.open(pipe, os.O_WRONLY)  # held for as long as the launcher lives, else no writer yet would look like none any more
        os.set_blocking(reading, True)
        try:
            child = self._spawn([*self._launcher, "-m", "valuedrift.jobs.together", str(pipe), str(job)])
        except OSError as error:
            os.close(reading)
            os.close(writing)
            raise UserError(f"{self._launcher[0]} cannot be started: {error.strerror}", where="runtime.launcher") from error

        def hang_up() -> None:
            child.wait()
            os.close(writing)

        threading.Thread(target=hang_up, daemon=True).start()
        return child, self._hear(reading)

    def _spawn(self, command: Sequence[str], *passed: int) -> subprocess.Popen[str]:
        self.kill()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        threads = str(self._threads)
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                pass_fds=passed,
                env={**os.environ, **_ENVIRONMENT, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            )
        return self._child

    def _hear(self, reading: int) -> queue.SimpleQueue[str]:
        self._replies = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(reading, self._replies), daemon=True).start()
        return self._replies

    def _await(
        self,
        child: subprocess.Popen[str],
        replies: queue.SimpleQueue[str],
        progress: Callable[[Progress], None],
        deadline: float | None,
        cancelled: Callable[[], bool],
        asked: _Asked,
    ) -> dict[str, Any]:
        while True:
            if cancelled() or asked.in_vain():
                raise StageError("cancelled", where=str(self._log))
            if deadline is not None and time.monotonic() > deadline:
                raise StageError(
                    "took longer than its time limit and was stopped", where=str(self._log), fix="raise runtime.timeout_minutes"
                )
            try:
                line = replies.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if line == _END:
                raise self._died(child, cancelled)
            message = json.loads(line)
            match message:
                case {"progress": {"done": done, "total": total, "note": note}}:
                    asked.has_done |= done > 0
                    progress(Progress(done=done, total=total, note=note))
                case {"result": result}:
                    return dict(result)
                case {"fault": fault}:
                    raise _FAULTS.get(fault["kind"], UserError)(fault["what"], where=fault["where"], fix=fault["fix"])
                case {"crash": crash}:
                    raise self._crashed(crash["kind"], crash["message"], again=crash["again"])

    def _crashed(self, kind: str, message: str, *, again: bool) -> StageError:
        fix = "lower runtime.micro_batch, or the sequence length" if "memory" in f"{kind}{message}".lower() else None
        made = SameAgainError if again else StageError
        return made(f"{kind}: {message}\n{self._tail()}", where=str(self._log), fix=fix)

    def _died(self, child: subprocess.Popen[str], cancelled: Callable[[], bool]) -> StageError:
        code = child.wait()
        if cancelled():  # whoever cancelled may have killed the child before this thread looked
            return StageError("cancelled", where=str(self._log))
        if code >= 0:
            return StageError(f"the stage's process ended with exit code {code}\n{self._tail()}", where=str(self._log))
        name = signal.Signals(-code).name
        fix = (
            "SIGKILL is often the system running out of memory: lower runtime.workers or runtime.micro_batch" if name == "SIGKILL" else None
        )
        return StageError(f"the stage's process was ended by {name}\n{self._tail()}", where=str(self._log), fix=fix)

    def _tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(f"  | {line}" for line in lines[-_TAIL_LINES:])


class _Asked:
    """Whether a job was asked to stop, and how long it may take.

    Args:
        file: By which it is asked.
        stopping: Whether it is to stop.
        patience: Seconds that it may take.
    """

    def __init__(self, file: Path, stopping: Callable[[], bool], patience: float) -> None:
        self._file = file
        self._stopping = stopping
        self._patience = patience
        self._until: float | None = None
        self.has_done = False
        """Whether it has told of anything that it did: else there is nothing to save."""

    def in_vain(self) -> bool:
        """Ask the job to stop if it is to; returns whether it has nothing to save, or took too long."""
        if not self._stopping():
            return False
        if self._until is None:
            self._until = time.monotonic() + self._patience
            self._file.touch()
        return not self.has_done or time.monotonic() > self._until


def _listen(reading: int, replies: queue.SimpleQueue[str]) -> None:
    """Pass on each line that the child writes, and at last that it ended; a thread of its own, so that no line waits in a buffer."""
    with os.fdopen(reading, "r", encoding="utf-8") as stream:
        for line in stream:
            replies.put(line)
    replies.put(_END)


def _kill_tree(pid: int) -> None:
    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
