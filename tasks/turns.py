"""Waiting for one's turn: for a child, and for a slot of a limit that all machines share. A task that waits says so in the Prefect UI."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from typing import Any

from valuedrift.errors import StoppedError, UserError
from valuedrift.tasks.board import in_task

_PATIENCE_SECONDS = 1.0
"""How long a task waits before it says so."""
_LEASE_SECONDS = 60.0
"""A slot whose holder died is free again after about as long."""
_TRY_SECONDS = 10.0
"""How long is waited for a slot before is looked whether anybody still wants it."""


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

    with ExitStack() as held:
        while True:
            if stopped():
                raise StoppedError("stopped before it began")
            try:
                held.enter_context(
                    concurrency(
                        limit,
                        timeout_seconds=_TRY_SECONDS,
                        lease_duration=_LEASE_SECONDS,
                        strict=True,
                        raise_on_lease_renewal_failure=False,
                    )
                )
                break
            except TimeoutError:
                continue
            except ConcurrencySlotAcquisitionError as error:
                where, fix = f"runtime.slots {limit}", f"prefect gcl create {limit} --limit N, as many as there are GPUs"
                raise UserError(f"no slot can be had: {error}", where=where, fix=fix) from error
        yield
