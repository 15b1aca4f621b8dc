from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving import Misbehaving, completion, slow, status

from valuedrift.errors import UserError
from valuedrift.servers.chat import Request, make_request
from valuedrift.servers.client import Client
from valuedrift.servers.record import Begun, Limit, Outcome, Record, Spent, TooDear, attempts_frame
from valuedrift.servers.server import Budget, Server

TEXT = "word " * 40
"""Of 40 tokens by the test server's count, 200 bytes."""
MOST = 200 + 256 + 4
"""What a request with it may take at most: a token a byte, the template's, and the answer's."""


def named(state: Misbehaving, budget: Budget, **more: Any) -> Server:
    return Server(model="judge-1", base_url=state.url, budget=budget, retries=1, **more)


def questions(server: Server, n: int) -> list[Request]:
    return [make_request(server, [{"role": "user", "content": f"{TEXT[:-5]}{number:04d} "}], limit=4) for number in range(n)]


def test_asking_stops_before_the_budget_would_be_passed_and_goes_on_with_more(server: Misbehaving, tmp_path: Path) -> None:
    server.otherwise = completion("a b c d")
    tight = named(server, Budget(tokens=2000))
    client = Client(tight, tmp_path / "replies.sqlite")
    with pytest.raises(UserError, match=r"budget is used up.*2,000 tokens.*requests are answered.*raise the budget"):
        client.ask(questions(tight, 100))
    asked = len(server.seen)
    assert client.spent.tokens == asked * 44 <= 2000
    assert client.spent.tokens + MOST > 2000, "it stopped although another request was surely within the budget"
    client.close()

    with pytest.raises(UserError, match="budget"):
        Client(tight, tmp_path / "replies.sqlite").ask(questions(tight, 100))
    assert len(server.seen) == asked, "starting again is no new budget"

    wide = named(server, Budget(tokens=100_000))
    assert len(Client(wide, tmp_path / "replies.sqlite").ask(questions(wide, 100))) == 100
    assert len(server.seen) == 100, "what was answered was asked again"


def test_money_is_counted_by_the_price_file(server: Misbehaving, tmp_path: Path) -> None:
    server.otherwise = completion("a b c d")
    prices = tmp_path / "prices.yaml"
    prices.write_text("judge-1: {input: 10, output: 100}\njudge-2: {input: 1, output: 2}\n")
    settings = named(server, Budget(usd=0.02, prices=str(prices)))
    notes: list[str] = []
    client = Client(settings, tmp_path / "replies.sqlite")
    with pytest.raises(UserError, match=r"\$0\.0\d+ of \$0\.0200"):
        client.ask(questions(settings, 100), lambda step: notes.append(step.note))
    each, most = (40 * 10 + 4 * 100) / 1e6, (456 * 10 + 4 * 100) / 1e6
    assert client.spent.usd == pytest.approx(len(server.seen) * each)
    assert 0.02 - most < client.spent.usd <= 0.02
    assert f"${client.spent.usd:.2f}" in notes[-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the price file"),
        ("other: {input: 1, output: 1}", "no price of model 'judge-1'"),
        ("judge-1: 3", "not in its form"),
        ("judge-1: {input: -1, output: 1}", "not in its form"),
        ("judge-1: {input: .inf, output: 1}", "not in its form"),
        ("{", "neither YAML nor JSON"),
        ("", "not in its form"),
    ],
)
def test_price_files_that_will_not_do(server: Misbehaving, tmp_path: Path, content: str | None, message: str) -> None:
    prices = tmp_path / "prices.json"
    if content is not None:
        prices.write_text(content)
    with pytest.raises(UserError, match=message):
        Client(named(server, Budget(usd=1.0, prices=str(prices))))
    assert not server.seen


def test_a_server_that_does_not_count_is_counted_by_the_estimate(server: Misbehaving) -> None:
    server.otherwise = completion("a b c d", usage=False)
    settings = named(server, Budget(tokens=2000))
    client = Client(settings)
    with pytest.raises(UserError, match="budget"):
        client.ask(questions(settings, 100))
    assert len(server.seen) == 2000 // MOST


def test_errors_cost_nothing_and_answers_that_never_came_count_in_full(server: Misbehaving) -> None:
    settings = named(server, Budget(tokens=100_000), timeout_seconds=0.3)
    server.will(status(500), completion("a b c d"), slow(1.0, completion()), completion("a b c d"))
    client = Client(settings)
    client.ask(questions(settings, 1))
    assert client.spent.tokens == 44
    client.ask(questions(settings, 2))
    assert client.spent.tokens == 44 + MOST + 44


_CHILD = """
import sys
from pathlib import Path
from valuedrift.servers.client import Client
from valuedrift.servers.chat import make_request
from valuedrift.servers.server import Server
server = Server(model="m", base_url=sys.argv[1], concurrency=4)
Client(server, Path(sys.argv[2])).ask([make_request(server, [{"role": "user", "content": str(n)}], limit=4) for n in range(200)])
"""


@pytest.mark.slow
def test_a_kill_loses_at_most_what_is_under_way(server: Misbehaving, tmp_path: Path) -> None:
    server.otherwise = slow(0.05, completion("done"))
    command = [sys.executable, "-c", _CHILD, server.url, str(tmp_path / "replies.sqlite")]
    child = subprocess.Popen(command)
    try:
        while len(server.seen) < 30:
            assert child.poll() is None
            time.sleep(0.02)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    time.sleep(0.2)
    asked = len(server.seen)
    subprocess.run(command, check=True)
    assert len(server.seen) <= 200 + 4, "more was asked again than was under way"
    assert asked >= 30
    bodies = [json.dumps(one.body) for one in server.seen]
    assert len(set(bodies)) == 200


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(list(Outcome)), st.floats(0, 1)), max_size=30), st.integers(1, 200))
def test_the_sum_is_never_above_the_limit_and_always_the_sum_of_the_attempts(
    attempts: list[tuple[int, Outcome, float]], limit: int
) -> None:
    request = make_request(Server(model="m"), [{"role": "user", "content": "x"}], limit=1)
    with tempfile.TemporaryDirectory() as folder, Record(Path(folder) / "r.sqlite") as record:
        for most, outcome, share in attempts:
            bound = Spent(most, most / 1000)
            match record.begin(request, bound, Limit(tokens=limit), 0.0, time.time()):
                case Begun() as begun:
                    if outcome is not Outcome.OPEN:
                        record.end(begun, outcome, None, bound, Spent(int(most * share), most * share / 1000))
                case TooDear(spent):
                    assert spent.tokens + most > limit
            rows = attempts_frame(Path(folder) / "r.sqlite")
            assert record.spent().tokens == rows["tokens"].sum() <= limit
            assert record.spent().usd == pytest.approx(rows["usd"].sum())


def test_a_file_that_is_no_record_is_told(server: Misbehaving, tmp_path: Path) -> None:
    (tmp_path / "replies.sqlite").write_bytes(b"not a database, but a file of the user's own that must not be lost")
    with pytest.raises(UserError, match="cannot keep replies"):
        Client(Server(model="m", base_url=server.url), tmp_path / "replies.sqlite")
    assert (tmp_path / "replies.sqlite").read_bytes().startswith(b"not a database")
    with pytest.raises(UserError, match="not a file of replies"):
        attempts_frame(tmp_path / "replies.sqlite")
