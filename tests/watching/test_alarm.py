"""What an alert does when it fires: told once, a line in a file, a webhook whose address is nowhere."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from valuedrift.study import Study
from valuedrift.tasks import alarm
from valuedrift.tasks import board as boards
from valuedrift.tasks.alarm import WEBHOOK, raise_alerts
from valuedrift.tasks.study_work import StudyWork
from valuedrift.watching.handing import ALERTS, AlertsSoFar, HandOver


class Lines(boards.Quiet):
    """A board that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def result(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def told() -> Iterator[list[str]]:
    board = Lines()
    boards.use_board(board)
    yield board.lines
    boards.use_board(boards.Quiet())


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]], list[int]]]:
    """A server that takes what is sent: its address, what came, and the status that it answers with."""
    came: list[dict[str, Any]] = []
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-token", came, status
    server.shutdown()


def work_in(tmp_path: Path) -> StudyWork:
    return StudyWork(Study.model_validate({"study": "ours", "series": {"run": {"source": "out/"}}}), str(tmp_path))


def alerts(*rows: tuple[int, str, bool]) -> pl.DataFrame:
    """Rows of the table alerts: step, stance, whether it is the first."""
    return pl.DataFrame(
        [
            {"run_id": "run", "step": step, "topic": "religion", "stance": stance, "mean_of": 1, "rule": "any moved", "first": first}
            | {"change": 0.4, "change_low": 0.2, "change_high": 0.6}
            for step, stance, first in rows
        ]
    )


def test_an_alert_is_told_once_however_often_it_is_made_again(tmp_path: Path, told: list[str]) -> None:
    work = work_in(tmp_path)
    first = alerts((2, "support", True), (3, "support", False))
    raise_alerts(work, first, before=pl.DataFrame())
    raise_alerts(work, alerts((2, "support", True), (3, "support", False), (4, "oppose", True)), before=first)
    assert len(told) == 2 and "run at step 2: religion, support +0.40 [+0.20, +0.60]" in told[0] and "step 4" in told[1]
    lines = [json.loads(line) for line in work.alerts_file.read_text(encoding="utf-8").splitlines()]
    assert [(line["step"], line["stance"]) for line in lines] == [(2, "support"), (4, "oppose")]


def test_a_training_that_listens_is_told(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "out").mkdir()
    training = HandOver(tmp_path / "out")
    training.begin()
    study = Study.model_validate({"study": "ours", "series": {"run": {"source": str(tmp_path / "out")}}})
    raise_alerts(StudyWork(study, str(tmp_path / "root")), alerts((2, "support", True)), before=pl.DataFrame())
    assert [str(one) for one in AlertsSoFar(training).more()] == ["step 2: support on religion +0.40 [+0.20, +0.60] (any moved)"]


def test_a_training_that_cannot_be_told_costs_no_alert(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "out").mkdir()
    HandOver(tmp_path / "out").begin()
    (HandOver(tmp_path / "out").folder / ALERTS).mkdir()
    study = Study.model_validate({"study": "ours", "series": {"run": {"source": str(tmp_path / "out")}}})
    work = StudyWork(study, str(tmp_path / "root"))
    raise_alerts(work, alerts((2, "support", True)), before=pl.DataFrame())
    assert work.alerts_file.exists() and any("the training is not told: the alert could not be written" in line for line in told)


def test_a_webhook_gets_it_and_its_address_is_told_nowhere(
    tmp_path: Path, told: list[str], hook: tuple[str, list[dict[str, Any]], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, came, status = hook
    monkeypatch.setenv(WEBHOOK, address)
    raise_alerts(work_in(tmp_path / "a"), alerts((2, "support", True)), before=pl.DataFrame())
    assert came[0]["study"] == "ours" and came[0]["change"] == 0.4 and "religion" in came[0]["text"]
    status[0] = 500
    raise_alerts(work_in(tmp_path / "b"), alerts((2, "support", True)), before=pl.DataFrame())
    monkeypatch.setenv(WEBHOOK, "http://127.0.0.1:1/secret-token")
    raise_alerts(work_in(tmp_path / "c"), alerts((2, "support", True)), before=pl.DataFrame())
    monkeypatch.setenv(WEBHOOK, "no address: secret-token")
    raise_alerts(work_in(tmp_path / "d"), alerts((2, "support", True)), before=pl.DataFrame())
    said = " ".join(told)
    assert "answered 500" in said and "not reached" in said
    written = "".join(path.read_text(encoding="utf-8", errors="ignore") for path in tmp_path.rglob("*") if path.is_file())
    assert "secret-token" not in said + written


def test_no_log_of_an_http_library_has_the_address(
    tmp_path: Path, hook: tuple[str, list[dict[str, Any]], list[int]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address, came, _ = hook
    monkeypatch.setenv(WEBHOOK, f"{address}/services")
    with caplog.at_level(logging.DEBUG):
        raise_alerts(work_in(tmp_path), alerts((2, "support", True)), before=pl.DataFrame())
        httpx.get(f"{address.rpartition('/')[0]}/another")
    assert came and "secret-token" not in caplog.text
    assert "another" in caplog.text, "other requests are logged as ever"


@pytest.mark.parametrize("address", ["http://a..b/secret-token", f"http://{'a' * 70}.b/secret-token", "ftp://a/secret-token"])
def test_an_address_of_any_shape_stops_no_look(tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(WEBHOOK, address)
    raise_alerts(work_in(tmp_path), alerts((2, "support", True), (2, "oppose", True)), before=pl.DataFrame())
    assert sum("not reached" in line for line in told) == 1 and "secret-token" not in " ".join(told)


@pytest.mark.parametrize("status", [301, 307, 308, 404])
def test_what_is_not_delivered_is_told(
    tmp_path: Path, told: list[str], hook: tuple[str, list[dict[str, Any]], list[int]], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    address, _, answers = hook
    monkeypatch.setenv(WEBHOOK, address)
    answers[0] = status
    raise_alerts(work_in(tmp_path), alerts((2, "support", True)), before=pl.DataFrame())
    assert f"answered {status}" in told[-1]


def test_a_webhook_that_says_nothing_holds_a_look_for_a_moment_only(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarm, "_PATIENCE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:{silent.getsockname()[1]}/secret-token")
        begun = time.monotonic()
        raise_alerts(work_in(tmp_path), alerts(*((step, "support", True) for step in range(2, 20))), before=pl.DataFrame())
        raise_alerts(work_in(tmp_path), alerts(*((2, stance, True) for stance in ("support", "neutral", "oppose"))), before=pl.DataFrame())
        assert time.monotonic() - begun < 5 and "is slow" in " ".join(told)
