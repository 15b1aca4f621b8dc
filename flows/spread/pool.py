"""The work pool that takes the parts of a study: what must be there before any is begun, and how the fault of a part comes back from it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from prefect.client.schemas.objects import WorkerStatus, WorkQueueStatus
from prefect.exceptions import ObjectNotFound

from valuedrift.errors import DataError, StageError, UserError
from valuedrift.flows.server import server
from valuedrift.study.runtime import Spread
from valuedrift.tasks.parts import need_of, parts_of
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

WHY = "workers take their work from one"
"""Why a spread study needs a Prefect server."""
_CODE = re.compile(r" · exit code (\d)$")
_FAULTS: Mapping[str, type[UserError]] = {str(kind.exit_code): kind for kind in (UserError, DataError, StageError)}


def phase_deployment(pool: str) -> str:
    """The deployment that carries out parts on a work pool."""
    return f"phase/{pool}"


def told_fault(fault: UserError) -> str:
    """A fault as the state of a flow run tells it, so that `read_fault` knows its kind."""
    return f"{fault} · exit code {fault.exit_code}"


def read_fault(message: str) -> UserError:
    """The fault that a flow run's state tells."""
    code = _CODE.search(message)
    kind = _FAULTS.get(code.group(1), StageError) if code else StageError
    return kind(_CODE.sub("", message))


def check_pool(work: StudyWork, by: Spread) -> None:
    """See, before anything is begun, that there is something which takes the parts of a study.

    Raises:
        UserError: No server, no work pool or queue, no deployment, or a limit without slots or of nothing at once.
    """
    pool = work.runtime.pool
    where, deploy = f"runtime.pool {pool}", f"valuedrift deploy --pool {pool}"
    check_slots(work.runtime.slots)
    with server(WHY) as client:
        try:
            about = client.read_work_pool(pool)
        except ObjectNotFound as error:
            there = ", ".join(sorted(one.name for one in client.read_work_pools())) or "none"
            raise UserError(f"the Prefect server has no such work pool (there are: {there})", where=where, fix=deploy) from error
        try:
            client.read_deployment_by_name(phase_deployment(pool))
        except ObjectNotFound as error:
            raise UserError(f"the Prefect server has no deployment {phase_deployment(pool)}", where=where, fix=deploy) from error
        queues = {queue.name: queue for queue in client.read_work_queues(work_pool_name=pool)}
    needed = {need_of(work, part) for part in parts_of(work, stages_of(work), by)}
    if lacking := sorted(needed - queues.keys()):
        raise UserError(f"the work pool has no queue {lacking[0]}", where=where, fix=deploy)
    if about.concurrency_limit == 0:
        fix = f"prefect work-pool clear-concurrency-limit {pool}"
        raise UserError("the concurrency limit of this work pool is 0: nothing would ever begin", where=where, fix=fix)
    if stopped := sorted(name for name in needed if queues[name].concurrency_limit == 0):
        fix = f"prefect work-queue clear-concurrency-limit {stopped[0]} --pool {pool}"
        raise UserError(f"the concurrency limit of its queue {stopped[0]} is 0: nothing would ever begin", where=where, fix=fix)


def why_nothing_begins(client: SyncPrefectClient, pool: str, queues: Collection[str], *, at_work: bool) -> list[str]:
    """Why what waits in some queues of a pool does not begin, a line each; nothing where somebody takes from them.

    Args:
        client: Of the server.
        pool: The work pool.
        queues: In which something waits.
        at_work: Whether a worker is known to live because it does a part.
    """
    if client.read_work_pool(pool).is_paused:
        return [f"the work pool {pool} is paused: prefect work-pool resume {pool}; waiting"]
    start = f"prefect worker start --pool {pool}"
    if not any(worker.status is WorkerStatus.ONLINE for worker in client.read_workers_for_work_pool(pool)):
        return [] if at_work else [f"no worker takes from the work pool {pool}: {start} (on any machine that reaches the root); waiting"]
    lines = []
    for queue in client.read_work_queues(work_pool_name=pool):
        if queue.name not in queues:
            continue
        if queue.is_paused:
            lines.append(
                f"the queue {queue.name} of the work pool {pool} is paused: prefect work-queue resume {queue.name} --pool {pool}; waiting"
            )
        elif queue.status is WorkQueueStatus.NOT_READY:
            where = f"the queue {queue.name} of the work pool {pool}"
            lines.append(f"no worker takes from {where}: {start} --work-queue {queue.name}; waiting")
    return lines


def check_slots(name: str | None) -> None:
    """See that a limit of which slots are asked has some.

    Args:
        name: Of the global concurrency limit; None: no slots are asked for.

    Raises:
        UserError: No server, no such limit, or one that has no slots or is switched off.
    """
    if name is None:
        return
    where = f"runtime.slots {name}"
    fix = f"prefect gcl create {name} --limit N, as many as there are GPUs"
    try:
        with server("slots are counted by one") as client:
            limit = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound as error:
        raise UserError("the Prefect server has no such global concurrency limit", where=where, fix=fix) from error
    if not limit.active:
        fix = f"prefect gcl enable {name}"
        raise UserError("this global concurrency limit is switched off: it would hold nobody back", where=where, fix=fix)
    if limit.limit < 1:
        raise UserError(
            "this global concurrency limit has no slots: nothing would ever begin", where=where, fix=fix.replace("create", "update")
        )
