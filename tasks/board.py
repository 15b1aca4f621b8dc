"""Where long work shows how far it is: the terminal (rich, set by the command line) and the Prefect UI (progress artifacts)."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import UUID

from valuedrift.errors import StoppedError
from valuedrift.fingerprint import fingerprint
from valuedrift.progress import Progress

_ARTIFACT_SECONDS = 3.0


class Board(Protocol):
    """Something that shows the stages under way."""

    def begin(self, label: str) -> int:
        """Show a stage that begins; returns its number."""

    def update(self, stage: int, progress: Progress) -> None:
        """Show how far a stage is."""

    def end(self, stage: int, outcome: str) -> None:
        """Show that a stage ended, and how."""

    def expect(self, stages: int) -> None:
        """Say how many stages there are in all; more may appear while they run."""

    def settled(self) -> None:
        """Count a stage whose result is in the store now, made or found."""

    def result(self, text: str) -> None:
        """Show a first number."""


class Quiet:
    """A board that shows nothing: for libraries and tests."""

    def begin(self, label: str) -> int:
        """See :class:`Board`."""
        return 0

    def update(self, stage: int, progress: Progress) -> None:
        """See :class:`Board`."""

    def end(self, stage: int, outcome: str) -> None:
        """See :class:`Board`."""

    def expect(self, stages: int) -> None:
        """See :class:`Board`."""

    def settled(self) -> None:
        """See :class:`Board`."""

    def result(self, text: str) -> None:
        """See :class:`Board`."""


class Lines(Quiet):
    """A board of lines on standard error, one a stage that ends: for long calls from Python."""

    def __init__(self) -> None:
        self._begun: list[tuple[str, float]] = []

    def begin(self, label: str) -> int:
        """See :class:`Board`."""
        self._begun.append((label, time.monotonic()))
        return len(self._begun) - 1

    def end(self, stage: int, outcome: str) -> None:
        """See :class:`Board`."""
        label, at = self._begun[stage]
        self.result(f"{label}: {outcome} in {time.monotonic() - at:.0f} s")

    def result(self, text: str) -> None:
        """See :class:`Board`."""
        sys.stderr.write(f"{text}\n")


_lock = threading.Lock()
_board: Board = Quiet()


def use_board(board: Board) -> None:
    """Set the board of this process."""
    global _board
    with _lock:
        _board = board


def board() -> Board:
    """The board of this process."""
    return _board


@contextmanager
def on_board(board: Board) -> Iterator[None]:
    """Show what is done in a block on another board."""
    before = _board
    use_board(board)
    try:
        yield
    finally:
        use_board(before)


def tell(text: str) -> None:
    """Tell a line: in the terminal, and in the log of the flow run or task that goes on here, if one does."""
    board().result(text)
    log(text)


def log(text: str, *, error: bool = False) -> None:
    """Write a line into the log of the flow run or task that goes on here; nothing where none does."""
    if in_task() or in_flow():
        from prefect import get_run_logger

        (get_run_logger().error if error else get_run_logger().info)(text)


def show_table(rows: Sequence[Mapping[str, Any]], key: str, description: str) -> None:
    """Show a table in the Prefect UI; nothing where no task runs."""
    if in_task():
        from prefect.artifacts import create_table_artifact

        create_table_artifact(table=[dict(row) for row in rows], key=key, description=description)


def show_progress(percent: float, key: str, description: str) -> None:
    """Show in the Prefect UI how far something is, under a key that stays; nothing where no task runs.

    Args:
        percent: 0 to 100.
        key: What it is of, as `artifact_key` writes it.
        description: What is told beside it, Markdown.
    """
    if in_task():
        from prefect.artifacts import create_progress_artifact

        create_progress_artifact(progress=percent, key=key, description=description)


def show_page(markdown: str, key: str, description: str) -> None:
    """Show a page in the Prefect UI; nothing where no task runs."""
    if in_task():
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(markdown=markdown, key=key, description=description)


def announce(event: str, resource: str, payload: Mapping[str, Any]) -> None:
    """Send an event to Prefect, for automations; nothing where no task runs.

    Args:
        event: Its name, ``valuedrift.….…``.
        resource: What it happened to, as ``prefect.resource.id`` has it.
        payload: What is told of it.
    """
    if in_task():
        from prefect.events import emit_event

        emit_event(event=event, resource={"prefect.resource.id": resource, "prefect.resource.name": resource}, payload=dict(payload))


def artifact_key(name: str, among: Collection[str] = ()) -> str:
    """A name as it may stand in the key of an artifact: lower-case letters, digits and dashes.

    Args:
        name: The name.
        among: Others of its kind; where one of them would stand so too, some letters of a hash tell them apart.
    """
    key = _plain(name)
    return f"{key}-{fingerprint(name)[:6]}" if any(other != name and _plain(other) == key for other in among) else key


def _plain(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())


def in_task() -> bool:
    """Whether a Prefect task runs here; stages need no Prefect, and do not load it to find out."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import TaskRunContext

    return TaskRunContext.get() is not None


def in_flow() -> bool:
    """Whether a Prefect flow runs here, in this thread."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


@contextmanager
def shown(label: str, key: str | None = None) -> Iterator[Callable[[Progress], None]]:
    """Show a stage while it runs; yields the function that takes its progress.

    Args:
        label: What it is called.
        key: Under which Prefect's UI lists its progress, as `artifact_key` writes it; default: its label.
    """
    where = board()
    number = where.begin(label)
    artifact = _Artifact(label, key or artifact_key(label))

    def report(progress: Progress) -> None:
        where.update(number, progress)
        artifact.update(progress)

    try:
        yield report
    except BaseException as error:
        where.end(number, "stopped" if isinstance(error, (StoppedError, KeyboardInterrupt)) else "failed")
        raise
    where.end(number, "done")
    artifact.finish()


class _Artifact:
    """A Prefect progress artifact, created at the first report and updated every few seconds."""

    def __init__(self, label: str, key: str) -> None:
        self._label = label
        self._key = key
        self._id: UUID | None = None
        self._next = 0.0

    def update(self, progress: Progress) -> None:
        if not in_task() or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _ARTIFACT_SECONDS
        self._write(100.0 * progress.done / max(progress.total, 1), progress.note)

    def finish(self) -> None:
        if self._id is not None:
            self._write(100.0, "done")

    def _write(self, percent: float, note: str) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        description = f"{self._label} {note}".strip()
        if self._id is None:
            self._id = create_progress_artifact(progress=percent, key=self._key, description=description)  # type: ignore[assignment]  # sync call returns the id
        else:
            update_progress_artifact(artifact_id=self._id, progress=percent, description=description)
