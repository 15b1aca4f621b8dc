"""Automations in a real Prefect server: drift reaches a webhook through an installed one, dead flow runs are marked, waiting ones are not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
REPOSITORY = Path(__file__).parents[2]

BLOCKS = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from prefect.blocks.webhook import Webhook
text = {"text": "{{subject}} | {{body}}"}
CustomWebhookNotificationBlock(name="ours", url=sys.argv[1] + "/notified/token-of-the-block", json_data=text).save("team")
Webhook(url=sys.argv[1] + "/hooked/token-of-the-block").save("raw")
Secret(value="x").save("password")
"""
ALERT = """
import sys
import polars as pl
from prefect import flow, task
from valuedrift.study import Study
from valuedrift.tasks.alarm import raise_alerts
from valuedrift.tasks.study_work import StudyWork
row = {"run_id": "run", "step": 300, "topic": "trust in experts", "stance": "support", "mean_of": 1, "rule": "any moved", "first": True,
       "change": 0.4, "change_low": 0.2, "change_high": 0.6}
work = StudyWork(Study.model_validate({"study": "ours", "series": {"run": {"source": "out/"}}}), sys.argv[1])
@task
def look():
    raise_alerts(work, pl.DataFrame([row]), before=pl.DataFrame())
@flow
def watched():
    look()
watched()
"""
RUNS = """
import os, sys, time
from prefect import flow
@flow(name="trace", flow_run_name=sys.argv[1])
def trace():
    if sys.argv[1] == "waits":
        from prefect.client.orchestration import get_client
        from prefect.runtime import flow_run
        from prefect.states import Suspended
        time.sleep(1)
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run.id, Suspended(), force=True)
    print("begun", flush=True)
    time.sleep(300)
trace()
"""

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Prefect server of its own, as the environment that reaches it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("prefect")
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "COLUMNS": "200",
    }
    with (home / "server.log").open("w") as log:
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 180
        while True:
            try:
                httpx.get(f"{environment['PREFECT_API_URL']}/health").raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < until and server.poll() is None, (home / "server.log").read_text(encoding="utf-8")
                time.sleep(0.5)
        yield environment
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


@pytest.fixture(scope="module")
def came() -> Iterator[tuple[str, list[tuple[float, str, Any]]]]:
    """A local webhook: its address, and what came: when, where to, what."""
    posts: list[tuple[float, str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append((time.time(), self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", posts
    server.shutdown()


def python(environment: dict[str, str], script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True, timeout=200)


def valuedrift(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)


def automations(environment: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.post(f"{environment['PREFECT_API_URL']}/automations/filter", json={}).json()
    return found


@pytest.fixture(scope="module")
def installed(environment: dict[str, str], came: tuple[str, Any]) -> subprocess.CompletedProcess[str]:
    made = python(environment, BLOCKS, came[0])
    assert made.returncode == 0, made.stderr
    valuedrift(environment, "automations", "install", "--block", "custom-webhook/team")
    return valuedrift(environment, "automations", "install", "--block", "team", "--block", "webhook/raw", "--dead-after", "15")


def test_installed_twice_is_installed_once(environment: dict[str, str], installed: subprocess.CompletedProcess[str]) -> None:
    assert installed.returncode == 0 and installed.stdout.count("installed") == 3, installed.stderr
    there = automations(environment)
    assert sorted(one["name"] for one in there) == [
        "valuedrift: dead flow run",
        "valuedrift: drift crossed",
        "valuedrift: flow run ended badly",
    ]
    crossed = next(one for one in there if "drift" in one["name"].removeprefix("valuedrift"))
    assert [action["type"] for action in crossed["actions"]] == ["send-notification", "call-webhook"]
    assert next(one for one in there if "dead" in one["name"])["trigger"]["within"] == 15
    assert "token-of-the-block" not in json.dumps(there) + installed.stdout + installed.stderr
    listed = valuedrift(environment, "automations", "list").stdout
    assert listed.count("on ") == 3 and "call-webhook, send-notification" in listed


def test_drift_that_crossed_reaches_the_blocks_in_seconds(
    environment: dict[str, str], installed: object, came: tuple[str, list[tuple[float, str, Any]]], tmp_path: Path
) -> None:
    done = python(environment, ALERT, str(tmp_path))
    assert done.returncode == 0, done.stderr
    until = time.monotonic() + 30
    while len([path for _, path, _ in came[1] if "token-of-the-block" in path]) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    posts = {path.split("/")[1]: (at, what) for at, path, what in came[1]}
    events: list[dict[str, Any]] = []
    while not events and time.monotonic() < until:  # the server writes events some seconds after it acted on them
        found = httpx.post(f"{environment['PREFECT_API_URL']}/events/filter", json={"filter": {}}).json()["events"]
        events = [one for one in found if one["event"] == "valuedrift.drift.crossed"]
        time.sleep(0.2)
    (event,) = events
    assert event["resource"]["prefect.resource.id"] == "valuedrift.run.ours.run"
    from datetime import datetime

    told = datetime.fromisoformat(event["occurred"]).timestamp()
    waits = {name: at - told for name, (at, _) in posts.items()}
    print(f"from the event to the webhook: {waits}")
    assert set(waits) == {"notified", "hooked"} and max(waits.values()) < 15
    assert posts["notified"][1]["text"] == (
        "valuedrift: run moved on trust in experts | run at step 300: trust in experts, support +0.40 [+0.20, +0.60] (any moved), study ours"
    )
    assert posts["hooked"][1]["change_low"] == 0.2 and posts["hooked"][1]["run_id"] == "run"


def test_a_killed_flow_run_is_crashed_and_told_and_one_that_waits_is_not(
    environment: dict[str, str], installed: object, came: tuple[str, list[tuple[float, str, Any]]]
) -> None:
    for name in ("dies", "waits"):
        one = subprocess.Popen(
            [sys.executable, "-c", RUNS, name], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert one.stdout is not None
        assert any("begun" in line for line in iter(one.stdout.readline, ""))
        time.sleep(2)  # its heartbeat is on its way
        one.kill()
        one.wait()

    def states() -> dict[str, str]:
        return {
            run["name"]: run["state"]["name"] for run in httpx.post(f"{environment['PREFECT_API_URL']}/flow_runs/filter", json={}).json()
        }

    begun = time.monotonic()
    while states()["dies"] != "Crashed" and time.monotonic() < begun + 90:
        time.sleep(0.5)
    print(f"crashed {time.monotonic() - begun:.0f} s after the second run was killed")
    assert states()["dies"] == "Crashed"
    time.sleep(25)  # the other's time would be over too
    assert states()["waits"] == "Suspended"
    told = [what.get("text") or what for _, _, what in came[1]]
    assert any("dies crashed: No heartbeat" in str(one) for one in told) and not any("waits" in str(one) for one in told)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("custom-webhook/taem", "--block custom-webhook/taem: the Prefect server has no such block (nearest: custom-webhook/team)"),
        ("secret/password", "sends no notifications"),
    ],
)
def test_a_block_that_cannot_be_told_is_said(environment: dict[str, str], installed: object, block: str, said: str) -> None:
    before = automations(environment)
    refused = valuedrift(environment, "automations", "install", "--block", block)
    assert refused.returncode == 2 and said in refused.stderr and "Traceback" not in refused.stderr
    assert automations(environment) == before


def test_remove_takes_ours_and_leaves_others(environment: dict[str, str], installed: object) -> None:
    other = {"name": "theirs", "trigger": {"type": "event", "expect": ["x"], "posture": "Reactive", "threshold": 1}, "actions": []}
    httpx.post(f"{environment['PREFECT_API_URL']}/automations/", json=other).raise_for_status()
    assert valuedrift(environment, "automations", "install").stdout.count("left out") == 2  # without a block nothing can be told
    assert {one["name"] for one in automations(environment)} == {"theirs", "valuedrift: dead flow run"}
    valuedrift(environment, "automations", "remove")
    assert [one["name"] for one in automations(environment)] == ["theirs"]


def test_without_a_server_it_says_how_to_have_one(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    bare |= {"PYTHONPATH": str(REPOSITORY), "PREFECT_HOME": str(tmp_path), "COLUMNS": "200"}
    none = valuedrift(bare, "automations", "install")
    assert none.returncode == 2 and "PREFECT_API_URL: no Prefect server is named" in none.stderr and "prefect server start" in none.stderr
    deaf = valuedrift({**bare, "PREFECT_API_URL": "http://user:hidden@127.0.0.1:1/api"}, "automations", "list")
    assert deaf.returncode == 2 and "does not answer" in deaf.stderr and "hidden" not in deaf.stderr and "Traceback" not in deaf.stderr


def test_the_file_names_every_flow_of_ours() -> None:
    flows = {name for file in (REPOSITORY / "flows").glob("*.py") for name in re.findall(r'@flow\(name="(\w+)"', file.read_text("utf-8"))}
    entries = yaml.safe_load((REPOSITORY / "deployments" / "automations.yaml").read_text("utf-8"))["automations"]
    named = [set(entry["trigger"]["match_related"]["prefect.resource.name"]) for entry in entries if "match_related" in entry["trigger"]]
    assert named == [flows, flows] and flows
