"""Parts of a study that workers do: the flow run of each, and the signs of life that it gave."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter

from valuedrift.tasks.parts import Part

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_PAGE = 200
_EVENTS = 50
"""As many as the server gives at once."""
_SKEW = timedelta(minutes=15)
"""Clocks of machines may differ by as much: more, and a bucket refuses to be asked."""


def due() -> datetime:
    """When a flow run is scheduled that is to begin now: a worker, and the server, take it when that time has come by clocks of their own."""
    return datetime.now(UTC) - _SKEW


@dataclass
class Underway:
    """A part that somebody does, or is to do.

    Attributes:
        part: The part.
        run: The flow run.
        attempt: How often it was begun.
        alive: When it last gave a sign, by the clock of this process.
        shown: Its number on the board, once it runs.
        signs: Heartbeats and states that were seen.
    """

    part: Part
    run: UUID
    attempt: int
    alive: float
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
