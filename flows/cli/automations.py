"""``valuedrift automations``: let a Prefect server tell of drift and of dead flow runs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from valuedrift.flows.cli.app import app
from valuedrift.flows.cli.console import hush_prefect, make_console

automations_app = typer.Typer(name="automations", help="Let a Prefect server tell of drift and of dead flow runs.", no_args_is_help=True)
app.add_typer(automations_app)


@automations_app.command("install")
def install(
    block: Annotated[
        list[str] | None,
        typer.Option(
            "--block",
            metavar="TYPE/NAME",
            help="A block of the server that is told: slack-webhook/team, custom-webhook/ours, email …, webhook/…; may be repeated. "
            "Its address and password stay in it.",
            show_default=False,
        ),
    ] = None,
    dead_after: Annotated[
        int | None,
        typer.Option(
            "--dead-after",
            min=5,
            metavar="SECONDS",
            help="Without a heartbeat for as long, a flow run is marked as crashed. Default: 540, three intervals of heartbeats.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Install the automations, or replace them: drift that crossed an alert, and flow runs that died, are told to the blocks."""
    hush_prefect()
    from valuedrift.flows import automations

    console = make_console()
    there, silent = automations.install(block or (), dead_after=dead_after)
    for name in there:
        console.print(f"installed  {escape(name)}", highlight=False)
    for name in silent:
        console.print(f"left out   {escape(name)}: no --block that is told", highlight=False)


@automations_app.command("list")
def show() -> None:
    """List those that the server has."""
    hush_prefect()
    from valuedrift.flows import automations

    console = make_console()
    for one in automations.installed():
        does = ", ".join(sorted({action.type for action in one.actions}))
        console.print(f"{'on ' if one.enabled else 'off'}  {escape(one.name)}  {does}", highlight=False)


@automations_app.command("remove")
def remove() -> None:
    """Take them out of the server."""
    hush_prefect()
    from valuedrift.flows import automations

    console = make_console()
    for name in automations.remove():
        console.print(f"removed  {escape(name)}", highlight=False)
