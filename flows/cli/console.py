"""The console that all commands print to."""

from __future__ import annotations

from rich.console import Console

_PIPED_WIDTH = 200
"""Columns where the output goes to a file or a pipe: nothing is cut there."""


def make_console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal, and wide enough for every table where there is none."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_PIPED_WIDTH)
