"""The work pool that takes the parts of a study: what must be there before any is begun, and how the fault of a part comes back from it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from prefect.exceptions import ObjectNotFound

from valuedrift.errors import DataError, StageError, UserError
from valuedrift.flows.server import server
from valuedrift.study.runtime import Spread
from valuedrift.tasks.parts import need_of, parts_of
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

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
        UserError: No server, no work pool or queue, no deployment, or a limit without slots.
    """
    pool = work.runtime.pool
    where, deploy = f"runtime.pool {pool}", f"valuedrift deploy --pool {pool}"
    check_slots(work.runtime.slots)
    with server(WHY) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound as error:
            there = ", ".join(sorted(one.name for one in client.read_work_pools())) or "none"
            raise UserError(f"the Prefect server has no such work pool (there are: {there})", where=where, fix=deploy) from error
        try:
            client.read_deployment_by_name(phase_deployment(pool))
        except ObjectNotFound as error:
            raise UserError(f"the Prefect server has no deployment {phase_deployment(pool)}", where=where, fix=deploy) from error
        queues = {queue.name for queue in client.read_work_queues(work_pool_name=pool)}
        needed = {need_of(work, part) for part in parts_of(work, stages_of(work), by)}
        if lacking := sorted(needed - queues):
            raise UserError(f"the work pool has no queue {lacking[0]}", where=where, fix=deploy)


def check_slots(name: str | None) -> None:
    """See that a limit of which slots are asked has some.

    Args:
        name: Of the global concurrency limit; None: no slots are asked for.

    Raises:
        UserError: No server, no such limit, or one without slots.
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
    if limit.limit < 1:
        raise UserError(
            "this global concurrency limit has no slots: nothing would ever begin", where=where, fix=fix.replace("create", "update")
        )
