"""Entry point of ``valuedrift``: all commands, and errors as one message without a traceback."""

from __future__ import annotations

import sys
from importlib import import_module

import click
from rich.console import Console
from rich.markup import escape

from flows.cli.app import app
from valuedrift.errors import UserError

_COMMANDS = ("trace", "plan", "report", "analyze", "sql", "tables", "judge")
"""Modules of flows.cli, in the order in which ``--help`` lists their commands; each hangs its own on the application."""

INTERRUPTED = 130
DISK_FULL = 28


def main() -> None:
    """Run the command line; exit codes: 0 done, 2 wrong use or input, 3 bad data, 4 a stage died, 130 interrupted."""
    for module in _COMMANDS:
        import_module(f"flows.cli.{module}")
    console = Console(stderr=True)
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        console.print(f"[bold red]error[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        console.print("[bold red]interrupted[/] what finished is kept; the same command goes on from there")
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno != DISK_FULL:
            raise
        console.print(
            f"[bold red]error[/] the disk is full: {escape(str(error.filename or error))} (make room and run the same command again; what finished is kept)"
        )
        sys.exit(UserError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
