"""Entry point of ``valuedrift``: all commands, and errors as one message without a traceback."""

from __future__ import annotations

import errno
import signal
import sys
from importlib import import_module

import typer
import typer.core
import typer.main
from rich.markup import escape

from valuedrift.errors import UserError
from valuedrift.flows.cli.app import app
from valuedrift.flows.cli.console import make_console

_COMMANDS = (
    "trace",
    "plan",
    "report",
    "analyze",
    "sql",
    "tables",
    "judge",
    "judge_fit",
    "labels",
    "probes",
    "audit",
    "synthesize",
    "start",
)
"""Modules of flows.cli; each hangs its own commands on the application."""
_ORDER = ("plan", "run", "status", "explain", "report", "analyze", "sql", "tables", "judge", "labels", "audit", "synthesize", "probes")
"""Commands in the order in which a study needs them; those that are not named come after them as they were added."""


def main() -> None:
    """Run the command line; exit codes: 0 done, 2 wrong use or input, 3 bad data, 4 a stage died, 130 interrupted."""
    for module in _COMMANDS:
        import_module(f"valuedrift.flows.cli.{module}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: children and Prefect's own server end too
    console = make_console(stderr=True)
    try:
        _in_order(app)()
    except UserError as error:
        console.print(f"[bold red]error[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        fix = "make room and run the same command again; what finished is kept"
        console.print(
            f"[bold red]error[/] the disk is full: {escape(str(error.filename or error))} ({fix})", highlight=False, soft_wrap=True
        )
        sys.exit(UserError.exit_code)


def _in_order(application: typer.Typer) -> typer.core.TyperGroup:
    """The command line with its commands in the order of ``_ORDER``; those that it does not name come last."""
    group = typer.main.get_group(application)
    names = list(group.commands)
    place = {name: _ORDER.index(name) if name in _ORDER else len(_ORDER) + at for at, name in enumerate(names)}
    group.commands = {name: group.commands[name] for name in sorted(names, key=place.__getitem__)}
    return group


if __name__ == "__main__":
    main()
