"""Waiting for one's turn: for a child, and for a slot of a limit that all machines share. A task that waits says so in the Prefect UI."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import copy_context
from typing import Any

from valuedrift.errors import StoppedError, UserError
from valuedrift.tasks.board import in_task, log, tell

_PATIENCE_SECONDS = 1.0
"""How long a task waits before it says so."""
_LEASE_SECONDS = 60.0
"""A slot whose holder died is free again after about as long."""
_TRY_SECONDS = 10.0
"""How long is waited for a slot before is looked whether anybody still wants it."""
_AWAY_SECONDS = 1.0
"""How long until a server that was away is asked again."""


def is_away(error: BaseException) -> bool:
    """Whether an error says that the Prefect server is away, or broken for a while; not that it refuses."""
    from httpx import TransportError
    from prefect.exceptions import PrefectHTTPStatusError

    for one in (error, error.__cause__):
        if isinstance(one, TransportError) or (isinstance(one, PrefectHTTPStatusError) and one.response.status_code >= 500):
            return True
    return False


@contextmanager
def awaiting(what: str = "a child or a slot") -> Iterator[None]:
    """Show the task that runs here as *AwaitingConcurrencySlot* while it waits in the block, and as running again after it; nothing where no task runs.

    Args:
        what: What it waits for, told as the message of its state.
    """
    if not in_task():
        yield
        return
    from prefect.context import TaskRunContext
    from prefect.states import AwaitingConcurrencySlot, Running
    from prefect.utilities.engine import emit_task_run_state_change_event

    context = TaskRunContext.get()
    assert context is not None, "a task runs here"
    shown = threading.Event()

    def show() -> None:
        state: Any = AwaitingConcurrencySlot(message=f"waits for {what}")
        emit_task_run_state_change_event(task_run=context.task_run, initial_state=context.task_run.state, validated_state=state)
        shown.set()

    timer = threading.Timer(_PATIENCE_SECONDS, copy_context().run, args=(show,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if shown.is_set():
            emit_task_run_state_change_event(task_run=context.task_run, initial_state=AwaitingConcurrencySlot(), validated_state=Running())


@contextmanager
def slot(limit: str | None, stopped: Callable[[], bool]) -> Iterator[None]:
    """Hold a slot of a global concurrency limit, by a lease that is renewed; nothing where no limit is named or no task runs.

    A server that is away is waited for, before the slot is had; after that it does not matter: the lease of a slot that could not be given back ends.

    Args:
        limit: Its name.
        stopped: Asked while this waits, whether nobody wants the slot any more.

    Raises:
        UserError: The server has no such limit.
        StoppedError: It was stopped before its turn came.
    """
    if limit is None or not in_task():
        yield
        return
    from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
    from prefect.concurrency.sync import concurrency

    told = False
    with ExitStack() as held:
        while True:
            if stopped():
                raise StoppedError("stopped before it began")
            taken = concurrency(
                limit,
                timeout_seconds=_TRY_SECONDS,
                lease_duration=_LEASE_SECONDS,
                strict=True,
                raise_on_lease_renewal_failure=False,
            )
            try:
                taken.__enter__()
            except TimeoutError:
                continue
            except ConcurrencySlotAcquisitionError as error:
                if not is_away(error):
                    where, fix = f"runtime.slots {limit}", f"prefect gcl create {limit} --limit N, as many as there are GPUs"
                    raise UserError(f"no slot can be had: {error}", where=where, fix=fix) from error
                if not told:
                    told = True
                    tell(f"runtime.slots {limit}: the Prefect server, which counts them, does not answer; waiting for it")
                time.sleep(_AWAY_SECONDS)
                continue
            held.callback(_give_back, limit, taken)
            break
        yield


def _give_back(limit: str, taken: AbstractContextManager[None]) -> None:
    """Give a slot back; what was made while it was held is not lost where the server is away."""
    try:
        taken.__exit__(None, None, None)
    except Exception as error:
        if not is_away(error):
            raise
        log(f"a slot of {limit} could not be given back: the Prefect server does not answer; it is free again in {_LEASE_SECONDS:.0f} s")
