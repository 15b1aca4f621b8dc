"""``valuedrift deploy``: bring a work pool, deployments and schedules into a Prefect server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from valuedrift.errors import UserError
from valuedrift.flows.cli.app import RootOption, app, resolve_root
from valuedrift.flows.cli.console import hush_prefect, make_console

if TYPE_CHECKING:
    from valuedrift.flows.deploy import PoolType
else:
    from typing import Literal

    PoolType = Literal["process", "docker", "kubernetes"]


@app.command("deploy")
def deploy(
    study: Annotated[
        list[str] | None,
        typer.Option(
            "--study",
            metavar="FILE",
            help="A study that gets a deployment of its own, local or s3://; may be repeated.",
            show_default=False,
        ),
    ] = None,
    root: RootOption = None,
    pool: Annotated[str, typer.Option("--pool", help="Name of the work pool.")] = "valuedrift",
    pool_type: Annotated[PoolType, typer.Option("--pool-type", help="What its workers start.")] = "process",
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule",
            metavar="CRON",
            help='When the studies run, as cron has it: "0 3 * * *". It is off unless --active.',
            show_default=False,
        ),
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="Of the schedule.")] = "UTC",
    active: Annotated[bool, typer.Option("--active", help="Switch the schedule on.")] = False,
    spread: Annotated[bool, typer.Option("--spread", help="Let runs be spread over the workers of the pool, a phase each.")] = False,
    slots: Annotated[
        list[str] | None,
        typer.Option(
            "--slots", metavar="NAME=N", help="A global concurrency limit for `runtime.slots`; may be repeated.", show_default=False
        ),
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", help="What containers are made of; for docker and kubernetes.", show_default=False)
    ] = None,
) -> None:
    """Bring valuedrift into the Prefect server that PREFECT_API_URL names: a work pool with its queues, and deployments of `trace` and `phase`."""
    hush_prefect()
    from valuedrift.flows import automations
    from valuedrift.flows import deploy as deploying

    console = make_console()
    wanted = deploying.Wanted(
        pool=pool,
        pool_type=pool_type,
        root=resolve_root(root),
        studies=tuple(study or ()),
        cron=schedule,
        timezone=timezone,
        active=active,
        spread="phases" if spread else None,
        image=image,
        slots=dict(map(_slots, slots or ())),
    )
    for line in deploying.deploy(wanted):
        console.print(escape(line), highlight=False, soft_wrap=True)
    if not automations.installed():
        for name in automations.install(())[0]:
            console.print(f"automation {escape(name)}", highlight=False)
    console.print(f"now        prefect worker start --pool {escape(pool)}", highlight=False)


def _slots(text: str) -> tuple[str, int]:
    name, _, number = text.rpartition("=")
    if not name or not number.isdigit() or int(number) < 1:
        raise UserError("not a limit with its slots", where=f"--slots {text}", fix="NAME=N, e.g. gpu=4")
    return name, int(number)
