"""Slots and pools on a real server: who waits says so and why, what can never begin is refused, a server that is away is waited for, clocks may differ."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cluster import Cluster, Gate
from test_parts import divided

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@contextmanager
def on(cluster: Cluster, address: str | None = None) -> Iterator[None]:
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with temporary_settings({PREFECT_API_URL: address or cluster.address, **({PREFECT_CLIENT_MAX_RETRIES: 0} if address else {})}):
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
        behind = datetime.now(UTC) - timedelta(hours=2)
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


def test_a_server_that_is_away_is_waited_for_and_what_was_made_meanwhile_is_kept(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client

    from valuedrift.tasks import turns

    with on(cluster), get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name("gated", 1)
    told: list[str] = []
    monkeypatch.setattr(turns, "in_task", lambda: True)
    monkeypatch.setattr(turns, "tell", told.append)
    gate, holds, made = Gate(httpx.URL(cluster.address).port or 0), threading.Event(), threading.Event()
    results: list[str] = []

    def work() -> None:
        with turns.slot("gated", lambda: False):
            holds.set()
            made.wait()
            results.append("made")
        results.append("kept")

    with on(cluster, gate.address):
        gate.shut()
        worker = threading.Thread(target=copy_context().run, args=(work,))
        worker.start()
        while not told:
            time.sleep(0.1)
        assert told[0].startswith("runtime.slots gated: the Prefect server, which counts them, does not answer") and not holds.is_set()
        gate.is_open = True
        assert holds.wait(120)
        gate.shut()
        made.set()
        worker.join(120)
    assert results == ["made", "kept"]
    assert len(told) == 1, told


def test_what_keeps_a_pool_from_taking_work_is_told_with_the_command_that_mends_it(cluster: Cluster, tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate, WorkPoolCreate, WorkPoolUpdate
    from prefect.client.schemas.objects import WorkQueueStatus

    from valuedrift.errors import UserError
    from valuedrift.flows.spread.pool import check_pool, check_slots, why_nothing_begins

    with on(cluster), get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="told", type="process"))
        queues = {name: client.create_work_queue(name=name, work_pool_name="told") for name in ("cpu", "gpu", "gpu-80gb")}

        def told(*waiting: str, at_work: bool = False) -> list[str]:
            return why_nothing_begins(client, "told", waiting, at_work=at_work)

        (line,) = told("cpu")
        assert line.startswith("no worker takes from the work pool told: prefect worker start --pool told")
        assert told("cpu", at_work=True) == []
        client.send_worker_heartbeat("told", "w", heartbeat_interval_seconds=600)
        client.get_scheduled_flow_runs_for_work_pool("told", work_queue_names=["cpu"])
        for _ in range(120):  # the server notes after a while who asked
            if client.read_work_queue(queues["cpu"].id).status is WorkQueueStatus.READY:
                break
            time.sleep(0.5)
        assert told("cpu") == []
        assert told("cpu", "gpu") == [
            "no worker takes from the queue gpu of the work pool told: prefect worker start --pool told --work-queue gpu; waiting"
        ]
        client.update_work_queue(queues["cpu"].id, is_paused=True)
        assert told("cpu") == ["the queue cpu of the work pool told is paused: prefect work-queue resume cpu --pool told; waiting"]
        client.update_work_pool("told", WorkPoolUpdate(is_paused=True))
        assert told("cpu", "gpu") == ["the work pool told is paused: prefect work-pool resume told; waiting"]

        work, _ = divided(tmp_path, "phases", pool="told", device="cpu")
        client.create_deployment(client.create_flow_from_name("phase"), "told", entrypoint="x:y", work_pool_name="told", pull_steps=[])
        check_pool(work, "phases")
        client.update_work_queue(queues["cpu"].id, concurrency_limit=0)
        with pytest.raises(UserError, match=r"limit of its queue cpu is 0.*work-queue clear-concurrency-limit cpu --pool told"):
            check_pool(work, "phases")
        client.update_work_pool("told", WorkPoolUpdate(concurrency_limit=0))
        with pytest.raises(UserError, match=r"limit of this work pool is 0.*work-pool clear-concurrency-limit told"):
            check_pool(work, "phases")

        client.upsert_global_concurrency_limit_by_name("off", 1)
        client.update_global_concurrency_limit("off", GlobalConcurrencyLimitUpdate(active=False))
        with pytest.raises(UserError, match=r"switched off.*prefect gcl enable off"):
            check_slots("off")
        client.update_global_concurrency_limit("off", GlobalConcurrencyLimitUpdate(active=True, limit=0))
        with pytest.raises(UserError, match=r"no slots.*prefect gcl update off"):
            check_slots("off")
