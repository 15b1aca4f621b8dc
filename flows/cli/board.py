"""The terminal's view of a flow run: one bar for the whole, one for each stage under way, and a line for each result."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from valuedrift.flows.cli.own_server import start_own_server
from valuedrift.progress import Progress


class TerminalBoard:
    """Bars where the output is a terminal, plain lines where it is not.

    Args:
        stages: Stages in all, for the overall bar.
    """

    def __init__(self, console: Console, stages: int) -> None:
        self._console = console
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._labels: dict[int, tuple[str, float]] = {}
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
        )
        self._bars = Bars(*columns, console=console, transient=True, refresh_per_second=1, disable=not console.is_terminal)
        self._overall = self._bars.add_task("[bold]all stages", total=stages, note="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def begin(self, label: str) -> int:
        """See :class:`valuedrift.tasks.board.Board`."""
        number = self._bars.add_task(escape(label), total=None, note="")
        with self._lock:
            self._labels[int(number)] = (label, time.monotonic())
        return int(number)

    def update(self, stage: int, progress: Progress) -> None:
        """See :class:`valuedrift.tasks.board.Board`."""
        self._bars.update(TaskID(stage), completed=progress.done, total=progress.total, note=escape(progress.note))

    def end(self, stage: int, outcome: str) -> None:
        """See :class:`valuedrift.tasks.board.Board`."""
        with self._lock:
            label, begun = self._labels.pop(stage)
        self._bars.remove_task(TaskID(stage))
        colour = {"done": "green", "stopped": "yellow"}.get(outcome, "red")
        self.say(f"[{colour}]{outcome:>6}[/] {escape(label)} [dim]{time.monotonic() - begun:.0f} s[/]")

    def expect(self, stages: int) -> None:
        """See :class:`valuedrift.tasks.board.Board`."""
        self._bars.update(self._overall, total=stages)

    def settled(self) -> None:
        """See :class:`valuedrift.tasks.board.Board`."""
        self._bars.advance(self._overall)

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        seconds = int(time.monotonic() - self._begun)
        self._console.print(f"[dim]{seconds // 60:3d}:{seconds % 60:02d}[/] {text}", highlight=False, soft_wrap=True)

    def result(self, text: str) -> None:
        """See :class:`valuedrift.tasks.board.Board`."""
        self.say(f"       {escape(text)}")


@contextmanager
def progress_of(console: Console, stages: int, kept: str) -> Iterator[None]:
    """Show a flow run that goes on inside; Ctrl-C, and whoever cancels or suspends it in the UI, ends it with one line and exit code 130.

    Args:
        console: Where.
        stages: How many stages there are.
        kept: What the line says of what was done.
    """
    from prefect.exceptions import CancelledRun, Pause

    from valuedrift.errors import StoppedError
    from valuedrift.tasks.board import use_board

    with TerminalBoard(console, stages) as board:
        use_board(board)
        try:
            start_own_server()
            yield
        except (KeyboardInterrupt, CancelledRun, StoppedError, Pause) as error:
            how = {KeyboardInterrupt: "interrupted", Pause: "suspended"}.get(type(error), "cancelled")
            board.say(f"[bold red]{how}[/] {kept}")
            raise typer.Exit(130) from error
