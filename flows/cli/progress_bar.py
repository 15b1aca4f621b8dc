"""The progress bar of judging, on standard error, so that standard output can be piped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from valuedrift.progress import Progress as Step

_bars = Console(stderr=True)


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Callable[[Step], None]]:
    """A bar; what it yields is called with how far the work is."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=_bars, transient=True) as bar:
        task = bar.add_task(what, total=total, note="")
        yield lambda step: bar.update(task, completed=step.done, total=step.total, note=escape(step.note))
