"""Entry point of ``valuedrift``: all commands, and errors as one message without a traceback."""

from __future__ import annotations

import errno
import signal
import sys
from importlib import import_module

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
    "judge_panel",
    "judge_labels",
    "judge_calibrate",
    "judge_correct",
    "replies",
    "probes",
    "audit",
    "synthesize",
)
"""Modules of flows.cli, in the order in which ``--help`` lists their commands; each hangs its own on the application."""


def main() -> None:
    """Run the command line; exit codes: 0 done, 2 wrong use or input, 3 bad data, 4 a stage died, 130 interrupted."""
    for module in _COMMANDS:
        import_module(f"valuedrift.flows.cli.{module}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: children and Prefect's own server end too
    console = make_console(stderr=True)
    try:
        app()
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


if __name__ == "__main__":
    main()
