"""Entry point of ``valuedrift``: all commands, and errors as one message without a traceback."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

import typer
import typer.core
import typer.main
from rich.markup import escape

from valuedrift.errors import fault_of
from valuedrift.flows.cli.app import app
from valuedrift.flows.cli.console import make_console

_COMMANDS = {
    "plan": ("plan",),
    "run": ("trace",),
    "watch": ("watch",),
    "status": ("trace",),
    "explain": ("trace",),
    "report": ("report",),
    "analyze": ("analyze",),
    "sql": ("sql",),
    "tables": ("tables",),
    "checkpoints": ("checkpoints",),
    "sample": ("sample",),
    "judge": ("judge", "judge_compare", "judge_fit", "judge_distil", "labels"),
    "labels": ("labels",),
    "audit": ("audit",),
    "attribute": ("attribute",),
    "synthesize": ("synthesize",),
    "probes": ("probes",),
    "deploy": ("deploy",),
    "automations": ("automations",),
    "init": ("start",),
    "demo": ("start",),
}
"""Commands in the order in which a study needs them, each with the modules of flows.cli that make it."""


def main() -> None:
    """Run the command line; exit codes: 0 done, 2 wrong use or input, 3 bad data, 4 a stage died, 5 an alert fired, 130 interrupted."""
    for module in _modules(sys.argv[1:]):
        import_module(f"valuedrift.flows.cli.{module}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: children and Prefect's own server end too
    console = make_console(stderr=True)
    try:
        _in_order(app)()
    except Exception as error:
        if (fault := fault_of(error)) is None:
            raise
        console.print(f"[bold red]error[/] {escape(str(fault))}", highlight=False, soft_wrap=True)
        sys.exit(fault.exit_code)


def _modules(arguments: Sequence[str]) -> Iterable[str]:
    """The modules of the command that is named, so that none waits for what others import; all of them for help and for what is no command."""
    command = next(iter(arguments), "")
    return _COMMANDS.get(command) or dict.fromkeys(module for modules in _COMMANDS.values() for module in modules)


def _in_order(application: typer.Typer) -> typer.core.TyperGroup:
    """The command line with its commands in the order of ``_COMMANDS``; those that it does not name come last."""
    group = typer.main.get_group(application)
    names = list(group.commands)
    ordered = [*(name for name in _COMMANDS if name in group.commands), *(name for name in names if name not in _COMMANDS)]
    group.commands = {name: group.commands[name] for name in ordered}
    return group


if __name__ == "__main__":
    main()
