"""A study spread over two workers that share nothing but a bucket, by a real Prefect server; what is missing is told in a line; a killed part is taken over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import psutil
import pytest
import yaml
from cluster import Cluster

from valuedrift.storage.location import Location
from valuedrift.storage.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture
def client(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: cluster.address}), get_client(sync_client=True) as client:
        yield client


def until(seen: Callable[[], object], seconds: float = 900.0) -> object:
    for _ in range(int(seconds / 0.2)):
        if found := seen():
            return found
        time.sleep(0.2)
    raise AssertionError("never seen")


def processes_of(run: UUID) -> list[psutil.Process]:
    """The process that carries out a flow run, not its children."""
    named = {"PREFECT__FLOW_RUN_ID": str(run)}
    found = []
    for process in psutil.process_iter():
        try:
            if named.items() <= process.environ().items() and "valuedrift.jobs" not in process.cmdline():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def test_what_is_missing_is_told_in_a_line_before_anything_begins(cluster: Cluster, study: str, bucket: Location) -> None:
    root = f"{bucket}/root"
    run = ("run", study, "--root", root, "--spread")
    said = cluster.run(*run, code=2)
    assert (
        "error runtime.pool valuedrift: the Prefect server has no such work pool" in said and "valuedrift deploy --pool valuedrift" in said
    )
    assert not (bucket / "root").listing()

    said = cluster.run("deploy", "--study", study, "--root", root, "--schedule", "0 3 * * *", "--slots", "held=1")
    assert "deployment phase/valuedrift" in said and "deployment trace/spread, schedule 0 3 * * * UTC (off)" in said
    assert "work pool valuedrift (process) was there" in cluster.run("deploy", "--root", root)

    told = yaml.safe_load((bucket / "spread.yaml").read_bytes())
    slots = {**told, "runtime": {**told["runtime"], "slots": "nowhere"}}
    (bucket / "slots.yaml").put_bytes(yaml.safe_dump(slots).encode())
    said = cluster.run("run", f"{bucket}/slots.yaml", "--root", root, "--spread", code=2)
    assert "error runtime.slots nowhere: the Prefect server has no such global concurrency limit" in said and "Traceback" not in said


def test_two_workers_share_a_study_and_a_killed_part_is_taken_over(cluster: Cluster, study: str, client: object, bucket: Location) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import StateType

    assert isinstance(client, SyncPrefectClient)
    root = f"{bucket}/root"
    planner = cluster.start("run", study, "--root", root, "--spread")
    assert planner.stdout is not None
    lines: list[str] = []
    for line in planner.stdout:
        lines.append(line)
        if "no worker takes from the work pool valuedrift" in line:
            break
    with cluster.worker("first"), cluster.worker("second"):
        running = until(lambda: [run for run in client.read_flow_runs() if "sft-c" in run.name and run.state_type is StateType.RUNNING])
        (victim,) = running  # type: ignore[misc]
        for process in until(lambda: processes_of(victim.id)):  # type: ignore[attr-defined]
            os.kill(process.pid, signal.SIGKILL)
        said = "".join([*lines, planner.communicate(timeout=1500)[0]])
    assert planner.returncode == 0, said
    assert "another worker takes it over" in said and "value drift" in said

    store = Store(root)
    assert store.read("stances", study="spread").select("run_id", "step").unique().height == 4
    assert store.read("training", study="spread").select("run_id", "step").is_duplicated().sum() == 0
    cluster.run("tables", "check", "--root", root)

    runs = client.read_flow_runs()
    (trace,) = [run for run in runs if run.name == "trace spread"]
    parts = [run for run in runs if run is not trace]
    states = sorted((run.name.removeprefix("spread: "), run.state_type.value) for run in parts if run.state_type is not None)
    assert states == [("base m", "COMPLETED"), ("m.sft-c", "COMPLETED"), ("m.sft-c", "CRASHED"), ("m.sft-c.dpo-p", "COMPLETED")]
    assert all(run.parent_task_run_id is not None and "study:spread" in run.tags and run.work_queue_name == "cpu" for run in parts)
    owners = {client.request("GET", "/task_runs/{id}", path_params={"id": run.parent_task_run_id}).json()["flow_run_id"] for run in parts}
    assert owners == {str(trace.id)}  # they stand in the graph of the run that planned them
    for name in ("planner", "first", "second"):
        home = cluster.folder / name
        assert not list(home.rglob("storage/*")), "results lie in the root alone"


def test_a_worker_that_cannot_see_the_study_says_so_and_where(cluster: Cluster, client: object) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    assert isinstance(client, SyncPrefectClient)
    deployment = client.read_deployment_by_name("phase/valuedrift")
    parameters = {"study": "/nowhere/study.yaml", "root": f"{cluster.folder}/root", "part": "base m", "by": "phases"}
    run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    with cluster.worker("third"):
        ended = until(lambda: (now := client.read_flow_run(run.id)).state and now.state.is_final() and now)
    message = ended.state.message  # type: ignore[attr-defined]
    assert ended.state.is_failed() and "/nowhere/study.yaml" in message and message.endswith("· exit code 2"), message  # type: ignore[attr-defined]
    assert os.uname().nodename in message
