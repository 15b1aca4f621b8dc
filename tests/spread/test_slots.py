"""Two tasks, one slot: one runs, the other says that it waits; a limit that is not there is told; clocks that differ do no harm. On a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@contextmanager
def on(cluster: Cluster) -> Iterator[None]:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: cluster.address}):
        yield


def test_who_waits_for_a_slot_says_so_and_a_limit_must_be_there(cluster: Cluster) -> None:
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.client.orchestration import get_client

    from valuedrift.errors import UserError
    from valuedrift.tasks.turns import awaiting, slot

    held: list[tuple[float, float]] = []
    faults: list[str] = []

    @task(cache_policy=NO_CACHE)
    def work(limit: str) -> None:
        try:
            with awaiting(), slot(limit, lambda: False):
                pass
        except UserError as error:
            faults.append(str(error))
            return
        with slot(limit, lambda: False):
            begun = time.monotonic()
            time.sleep(4)
            held.append((begun, time.monotonic()))

    @task(cache_policy=NO_CACHE)
    def waits() -> None:
        with awaiting():
            time.sleep(3)

    @flow
    def both() -> tuple[object, object]:
        tasks = [work.submit("one"), work.submit("one")]
        waiting = waits.submit()
        for one in (*tasks, waiting, work.submit("nowhere")):
            one.wait()
        return waiting.task_run_id

    with on(cluster):
        with get_client(sync_client=True) as client:
            client.upsert_global_concurrency_limit_by_name("one", 1)
        task_run = both()
        first, second = sorted(held)
        assert second[0] >= first[1] - 0.5  # never both at once
        assert len(faults) == 1 and faults[0].startswith("runtime.slots nowhere: no slot can be had")
        with get_client(sync_client=True) as client:
            names: list[str] = []
            for _ in range(60):  # rows of task runs are written after a while
                states = client.request("GET", "/task_run_states/", params={"task_run_id": str(task_run)}).json()
                names = [state["name"] for state in sorted(states, key=lambda state: state["timestamp"])]
                if "Completed" in names and "AwaitingConcurrencySlot" in names:
                    break
                time.sleep(0.5)
        assert names.index("AwaitingConcurrencySlot") < len(names) - 1 and names[-1] == "Completed", names


def test_a_worker_whose_clock_is_behind_is_given_what_is_due_and_one_that_is_ahead_is_heard(cluster: Cluster) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.client.schemas.objects import FlowRun
    from prefect.deployments import run_deployment
    from prefect.events import Event
    from prefect.events.clients import get_events_client
    from prefect.events.schemas.events import Resource

    from valuedrift.flows.spread.underway import Underway, bring_forward, due, listen
    from valuedrift.tasks.parts import Part

    @flow(name="due")
    def nothing() -> None: ...

    with on(cluster), get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="clocks", type="process"))
        flow_id = client.create_flow_from_name("due")
        client.create_deployment(flow_id, "clocks", entrypoint="x:y", work_pool_name="clocks", pull_steps=[])
        run = run_deployment("due/clocks", scheduled_time=due(client), timeout=0)
        assert isinstance(run, FlowRun)
        assert abs(client.read_flow_run(run.id).expected_start_time - datetime.now(UTC)) < timedelta(minutes=1)  # it is not shown as late
        bring_forward(client, run.id)
        assert abs(client.read_flow_run(run.id).expected_start_time - datetime.now(UTC)) < timedelta(minutes=1)
        behind = datetime.now(UTC) - timedelta(minutes=5)
        (given,) = client.get_scheduled_flow_runs_for_work_pool("clocks", scheduled_before=behind)
        assert given.flow_run.id == run.id

        one = Underway(Part("p", (), ()), run.id, 1, alive=0.0)
        resource = Resource.model_validate({"prefect.resource.id": f"prefect.flow-run.{run.id}"})
        ahead = datetime.now(UTC) + timedelta(minutes=5)

        async def beat() -> None:
            async with get_events_client() as events:
                await events.emit(Event(event="prefect.flow-run.heartbeat", resource=resource, occurred=ahead))

        asyncio.run(beat())
        for _ in range(60):  # events are written after a while
            listen(client, [one])
            if one.alive > 0:
                break
            time.sleep(0.5)
        assert one.alive > 0
