"""What somebody decided in Prefect's UI of the flow run that goes on here: to cancel it, or to suspend it.

Where a worker began the flow run, it ends a cancelled one by SIGTERM. Nobody does for a run of the command line, which therefore asks by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from valuedrift.errors import StoppedError

_LOOK_SECONDS = 5.0
"""How often a run of the command line asks."""


class Orders:
    """What a flow run was told to do."""

    def __init__(self) -> None:
        self.cancelled = False

    def heed(self) -> None:
        """Go on, or end.

        Raises:
            StoppedError: The flow run was cancelled.
            Pause: It was suspended.
        """
        if self.cancelled:
            raise StoppedError("cancelled in Prefect", fix="run the same command again: it goes on from what is finished and saved")
        if (context := FlowRunContext.get()) is not None:
            context.flow_run_suspension_request.raise_if_requested()


@contextmanager
def orders_of_flow_run() -> Iterator[Orders]:
    """While this is open: what the flow run that goes on here is told. Nothing is asked where nobody could tell it: of Prefect's temporary server."""
    orders, ended = Orders(), threading.Event()
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or run.deployment_id is not None or not get_current_settings().api.url:
        yield orders
        return
    asker = threading.Thread(target=_ask, args=(run.id, orders, ended), daemon=True)
    asker.start()
    try:
        yield orders
    finally:
        ended.set()


def _ask(run: UUID, orders: Orders, ended: threading.Event) -> None:
    with get_client(sync_client=True) as client:
        while not ended.wait(_LOOK_SECONDS):
            try:
                state = client.read_flow_run(run).state
            except (httpx.HTTPError, ObjectNotFound):  # a server that does not answer has told nothing
                continue
            orders.cancelled |= state is not None and state.type in (StateType.CANCELLING, StateType.CANCELLED)
