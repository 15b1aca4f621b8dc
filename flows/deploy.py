"""Bring valuedrift into a Prefect server: a work pool with queues, slots, deployments of the flows, automations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from valuedrift.errors import UserError
from valuedrift.flows.server import server
from valuedrift.references import is_address
from valuedrift.study import Study
from valuedrift.study.runtime import Spread
from valuedrift.tasks.parts import NEEDS
from valuedrift.tasks.sources import study_of
from valuedrift.words import listed

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.flows import Flow

PoolType = Literal["process", "docker", "kubernetes"]
PLAN = "plan"
"""The queue of the runs that plan: they wait for hours and need nothing."""
_WHY = "pools and deployments live in one"
_ENVIRONMENT = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # a dead worker is found within minutes; Prefect's own is 180 seconds
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",  # what the server answers while its database is away
    "PREFECT_CLIENT_MAX_RETRIES": "7",  # four minutes; Prefect's own is one
}
"""Of the flow runs on workers."""


@dataclass(frozen=True)
class Wanted:
    """What is to be there.

    Attributes:
        pool: Name of the work pool.
        pool_type: What its workers start: processes, containers, or jobs of a cluster.
        root: Where the tables lie, for runs that do not say.
        studies: Files of studies that get a deployment each.
        cron: When they run, for each of them; None: when somebody says so.
        timezone: Of the cron line.
        active: Whether the schedule is on from the beginning.
        spread: How runs are divided that do not say; None: as their study says.
        image: What containers are made of.
        slots: How many slots each global concurrency limit has, by name.
    """

    pool: str
    pool_type: PoolType
    root: str
    studies: Sequence[str] = ()
    cron: str | None = None
    timezone: str = "UTC"
    active: bool = False
    spread: Spread | None = None
    image: str | None = None
    slots: Mapping[str, int] | None = None


def deploy(wanted: Wanted) -> Iterator[str]:
    """Bring all that is wanted into the server; what is there is replaced, and what somebody switched on or off stays so.

    Yields:
        What was done, a line each.

    Raises:
        UserError: No server, a study that is none, a pool of another type, a cron line that is none.
    """
    studies = {place: study_of(place) for place in wanted.studies}
    if len({study.study for study in studies.values()}) < len(studies):
        raise UserError("two files are of one study", where=listed(list(studies)), fix="rename `study:` in one of them")
    _check_seen(wanted)
    schedules = _schedules(wanted)
    with server(_WHY) as client:
        yield _pool(client, wanted)
        for queue in (PLAN, *NEEDS):
            _queue(client, wanted.pool, queue)
        yield f"work queues {listed([PLAN, *NEEDS])}"
        for name, slots in (wanted.slots or {}).items():
            client.upsert_global_concurrency_limit_by_name(name, slots)
            yield f"global concurrency limit {name}: {slots} slots"
        yield from _deployments(client, wanted, studies, schedules)


def _check_seen(wanted: Wanted) -> None:
    """See that workers which start elsewhere can reach what they are given."""
    if wanted.pool_type == "process":
        return
    if wanted.image is None:
        fix = "build one from deployments/Dockerfile and name it: --image registry/valuedrift:0.3"
        raise UserError(f"a {wanted.pool_type} pool starts containers, and no image is named", where="--image", fix=fix)
    for option, place in (("--root", wanted.root), *(("--study", place) for place in wanted.studies)):
        if not is_address(place):
            raise UserError("containers do not see files of this machine", where=f"{option} {place}", fix="s3://bucket/…")


def _schedules(wanted: Wanted) -> list[DeploymentScheduleCreate]:
    """The schedule of every study."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    if wanted.cron is None:
        if wanted.active:
            raise UserError("there is no schedule to switch on", where="--active", fix='--schedule "0 3 * * *"')
        return []
    if not wanted.studies:
        raise UserError("a schedule is of a study, and none is named", where=f"--schedule {wanted.cron}", fix="--study FILE")
    try:
        schedule = CronSchedule(cron=wanted.cron, timezone=wanted.timezone)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = str(first["msg"]).removeprefix("Value error, ")
        if "timezone" in first["loc"]:
            raise UserError(f"not a time zone: {what}", where=f"--timezone {wanted.timezone}") from error
        raise UserError(
            f"not a schedule: {what}", where=f"--schedule {wanted.cron}", fix='as cron has it: "0 3 * * *" is every night at three'
        ) from error
    return [DeploymentScheduleCreate(schedule=schedule, active=wanted.active)]


def _pool(client: SyncPrefectClient, wanted: Wanted) -> str:
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    template = _template(wanted)
    try:
        there = client.read_work_pool(wanted.pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=wanted.pool, type=wanted.pool_type, base_job_template=template))
        return f"work pool {wanted.pool} ({wanted.pool_type}) made"
    if there.type != wanted.pool_type:
        fix = f"--pool-type {there.type}, or another --pool" if there.type in get_args(PoolType) else "another --pool"
        raise UserError(f"this work pool is there and is of type {there.type}", where=f"--pool {wanted.pool}", fix=fix)
    client.update_work_pool(wanted.pool, WorkPoolUpdate(base_job_template=template))
    return f"work pool {wanted.pool} ({wanted.pool_type}) was there"


def _template(wanted: Wanted) -> dict[str, Any]:
    """What a worker of the pool starts for a flow run, with its variables."""
    from prefect.workers.process import ProcessWorker

    if wanted.pool_type == "process":
        return ProcessWorker.get_default_base_job_template()
    text = files("valuedrift").joinpath("data", "pools", f"{wanted.pool_type}.json").read_text(encoding="utf-8")
    template: dict[str, Any] = json.loads(text)
    template["variables"]["properties"]["image"]["default"] = wanted.image
    return template


def _queue(client: SyncPrefectClient, pool: str, name: str) -> None:
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_queue_by_name(name, work_pool_name=pool)
    except ObjectNotFound:
        client.create_work_queue(name, work_pool_name=pool)


def _deployments(
    client: SyncPrefectClient, wanted: Wanted, studies: Mapping[str, Study], schedules: list[DeploymentScheduleCreate]
) -> Iterator[str]:
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions

    from valuedrift.flows.phase import phase
    from valuedrift.flows.trace import trace

    given = {"root": _everywhere(wanted.root), **({} if wanted.spread is None else {"spread": wanted.spread})}
    one_at_a_time = {"concurrency_limit": 1, "concurrency_options": ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)}
    yield _deployment(
        client, phase, wanted, wanted.pool, NEEDS[0], description="A part of a study; begun by runs of `trace` that are spread."
    )
    yield _deployment(client, trace, wanted, wanted.pool, PLAN, description="Trace any study.", parameters=given)
    for place, study in studies.items():
        more: dict[str, Any] = {
            "tags": [f"study:{study.study}"],
            "schedules": _as_switched(client, f"trace/{study.study}", schedules),
            **one_at_a_time,
        }
        parameters = {**given, "study": _everywhere(place)}
        made = _deployment(
            client, trace, wanted, study.study, PLAN, description=f"Trace the study {study.study}.", parameters=parameters, **more
        )
        on = [f"{one.schedule.cron} {one.schedule.timezone} ({'on' if one.active else 'off'})" for one in more["schedules"]]
        yield f"{made}{', schedule ' if on else ''}{listed(on)}"


def _everywhere(place: str) -> str:
    """A path or address as it is the same in every working directory."""
    return place if is_address(place) else str(Path(place).absolute())


def _as_switched(client: SyncPrefectClient, name: str, schedules: Sequence[DeploymentScheduleCreate]) -> list[Any]:
    """The schedules, each on where somebody switched the same one on before."""
    from prefect.exceptions import ObjectNotFound

    try:
        before = client.read_deployment_by_name(name).schedules
    except ObjectNotFound:
        before = []
    on = {str(one.schedule) for one in before if one.active}
    return [one.model_copy(update={"active": True}) if str(one.schedule) in on else one for one in schedules]


def _deployment(client: SyncPrefectClient, flow: Flow[Any, Any], wanted: Wanted, name: str, queue: str, **more: Any) -> str:
    """Make or replace the deployment of a flow; workers import it from the package, so that they need no checkout."""
    from prefect.utilities.callables import parameter_schema

    client.create_deployment(
        client.create_flow_from_name(flow.name),
        name,
        entrypoint=f"{flow.fn.__module__}.{flow.fn.__name__}",
        work_pool_name=wanted.pool,
        work_queue_name=queue,
        job_variables={"env": _ENVIRONMENT},
        parameter_openapi_schema=parameter_schema(flow.fn).model_dump(exclude_unset=True),
        enforce_parameter_schema=True,
        pull_steps=[],
        **more,
    )
    return f"deployment {flow.name}/{name}"
