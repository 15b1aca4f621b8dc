"""The terminal: the console that all commands print to, the bar of what takes long, and quiet for Prefect's own log."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from valuedrift.progress import Progress as Step

_PIPED_WIDTH = 200
"""Columns where the output goes to a file or a pipe: nothing is cut there."""
_QUIET_PREFECT = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_CLI_COLORS": "false",
}
"""Prefect's log goes to its UI; the terminal shows stages and results."""


def make_console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal, and wide enough for every table where there is none."""
    console = Console(stderr=stderr, emoji=False)
    return console if console.is_terminal else Console(stderr=stderr, width=_PIPED_WIDTH, emoji=False)


def hush_prefect() -> None:
    """Keep Prefect quiet in the terminal; to be called before it is imported. What the environment sets wins."""
    for name, value in _QUIET_PREFECT.items():
        os.environ.setdefault(name, value)
    logging.raiseExceptions = False  # else each line of a log that a server does not take, because it is away, is told on standard error


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Callable[[Step], None]]:
    """A bar on standard error, so that standard output can be piped; what it yields is called with how far the work is."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, note="")
        yield lambda step: bar.update(task, completed=step.done, total=step.total, note=escape(step.note))
