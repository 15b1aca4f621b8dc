"""Parts of a study that workers do: the flow run of each, and the signs of life that it gave."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.states import Scheduled

from valuedrift.tasks.parts import Part

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_PAGE = 200
_EVENTS = 50
"""As many as the server gives at once."""
_SKEW = timedelta(days=1)
"""Clocks of machines may differ by as much; a bucket refuses to be asked by one that differs by more than fifteen minutes, and says so."""


def due(client: SyncPrefectClient) -> datetime:
    """When a flow run is scheduled that is to begin now: by the server's clock, which says how late it begins."""
    told = client.request("GET", "/health").headers.get("date")
    return parsedate_to_datetime(told) if told else datetime.now(UTC)


def bring_forward(client: SyncPrefectClient, run: UUID) -> None:
    """Let a worker take a flow run whose clock is behind: it asks for what was due by its own. When the run was to begin stays as it was told."""
    client.set_flow_run_state(run, Scheduled(scheduled_time=due(client) - _SKEW))


@dataclass
class Underway:
    """A part that somebody does, or is to do.

    Attributes:
        part: The part.
        run: The flow run.
        attempt: How often it was begun.
        alive: When it last gave a sign, by the clock of this process.
        forward_at: When it is brought forward if no worker took it, by the same clock.
        shown: Its number on the board, once it runs.
        signs: Heartbeats and states that were seen.
    """

    part: Part
    run: UUID
    attempt: int
    alive: float
    forward_at: float = float("inf")
    shown: int | None = None
    signs: set[str] = field(default_factory=set)

    def note(self, sign: str) -> None:
        """Note a sign of life, if it is one that was not seen before."""
        if sign and sign not in self.signs:
            self.signs.add(sign)
            self.alive = time.monotonic()


def runs_of(client: SyncPrefectClient, underway: Collection[Underway]) -> Iterator[FlowRun]:
    """The flow runs as the server has them now."""
    ids = [one.run for one in underway]
    for start in range(0, len(ids), _PAGE):
        some = FlowRunFilter(id=FlowRunFilterId(any_=ids[start : start + _PAGE]))
        yield from client.read_flow_runs(flow_run_filter=some, limit=_PAGE)


def listen(client: SyncPrefectClient, underway: Collection[Underway]) -> None:
    """Note which flow runs gave a heartbeat since the last look."""
    resources = [f"prefect.flow-run.{one.run}" for one in underway]
    beats = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        resource=EventResourceFilter(id=resources),
        occurred=EventOccurredFilter.model_validate({"until": datetime.now(UTC) + _SKEW}),  # by the worker's clock, which may be ahead
    )
    latest: dict[str, str] = {}
    page = client.read_events(beats, limit=_EVENTS)
    for _ in range(1 + 2 * len(resources) // _EVENTS):  # newest first
        for event in page.events:
            latest.setdefault(event.resource.id, str(event.id))
        if page.next_page is None:
            break
        page = client.read_events_page(str(page.next_page))
    for one in underway:
        one.note(latest.get(f"prefect.flow-run.{one.run}", ""))
