from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from misbehaving import Misbehaving, completion, cut, cut_midway, echo, raw, slow, status

from valuedrift.errors import StageError, UserError
from valuedrift.servers.chat import Fault, Reply, Request, make_request
from valuedrift.servers.client import Client
from valuedrift.servers.server import Server

KEY = "sk-secret-0123456789"


def named(state: Misbehaving, **settings: Any) -> Server:
    return Server(model="judge-1", base_url=state.url, **{"retries": 3, "timeout_seconds": 5.0, **settings})


def questions(server: Server, n: int, limit: int = 4) -> list[Request]:
    return [make_request(server, [{"role": "user", "content": f"question {number}"}], limit=limit) for number in range(n)]


def texts(replies: list[Reply | Fault]) -> list[str]:
    return [reply.answers[0].text if isinstance(reply, Reply) else f"fault: {reply.what}" for reply in replies]


def ask(state: Misbehaving, n: int = 1, replies: Path | None = None, **settings: Any) -> list[str]:
    server = named(state, **settings)
    client = Client(server, replies)
    try:
        return texts(client.ask(questions(server, n)))
    finally:
        client.close()


def test_replies_come_in_the_order_of_the_questions_and_equal_ones_are_asked_once(server: Misbehaving) -> None:
    server.otherwise = lambda handler, body: slow(0.03 * (len(server.seen) % 3), completion(echo))(handler, body)
    client = Client(named(server))
    asked = questions(client.server, 9)
    assert texts(client.ask([*asked, *reversed(asked)])) == [f"question {n}" for n in [*range(9), *reversed(range(9))]]
    assert len(server.seen) == 9
    assert {one.path for one in server.seen} == {"/v1/chat/completions"}
    assert {one.authorization for one in server.seen} == {None}


def test_a_body_holds_what_was_set(server: Misbehaving) -> None:
    settings = named(server, extra={"reasoning_effort": "low"}, limit_field="max_completion_tokens")
    request = make_request(settings, [{"role": "user", "content": "a\x00\ud800b"}], limit=7, n=2, temperature=0.5, seed=None)
    assert len(Client(settings).ask([request])[0].answers) == 2  # type: ignore[union-attr]
    body = server.seen[0].body
    assert body.pop("messages") == [{"role": "user", "content": "a\x00?b"}]
    assert body == {"model": "judge-1", "max_completion_tokens": 7, "n": 2, "temperature": 0.5, "reasoning_effort": "low"}


def test_retry_after_in_seconds_is_waited_for_by_all(server: Misbehaving) -> None:
    server.will(completion(), status(429, "slow down", Retry_After="1"))
    begun = time.monotonic()
    assert ask(server, 6, concurrency=2) == ["hello"] * 6
    assert time.monotonic() - begun >= 1.0
    waiting = [at for at in server.times() if server.seen[1].at + 0.2 < at < server.seen[1].at + 0.95]
    assert not waiting, "somebody asked while the server wanted to be left alone"
    assert len(server.seen) == 7


def test_retry_after_as_a_date_is_understood(server: Misbehaving) -> None:
    server.will(status(503, Retry_After=formatdate(time.time() + 2, usegmt=True)))
    begun = time.monotonic()
    assert ask(server) == ["hello"]
    assert 0.9 <= time.monotonic() - begun < 4


def test_a_wait_that_is_too_long_ends_the_work_at_once(server: Misbehaving) -> None:
    server.will(status(429, Retry_After="3600"))
    begun = time.monotonic()
    with pytest.raises(StageError, match="wait 3600 s"):
        ask(server)
    assert time.monotonic() - begun < 2
    assert len(server.seen) == 1


def test_without_retry_after_waits_grow(server: Misbehaving) -> None:
    server.otherwise = status(429, "slow down")
    with pytest.raises(StageError, match="slow down"):
        ask(server, retries=4)
    times = server.times()
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) == 5
    assert all(wait <= bound + 0.2 for wait, bound in zip(waits, (0.5, 1, 2, 4), strict=True)), waits


@pytest.mark.parametrize(
    "act",
    [status(500), status(502), status(529), cut, cut_midway, status(429), status(408)],
    ids=["500", "502", "529", "cut", "cut midway", "429", "408"],
)
def test_what_may_pass_is_tried_again(server: Misbehaving, act: Any) -> None:
    server.will(act, act)
    assert ask(server) == ["hello"]
    assert len(server.seen) == 3


def test_a_slow_answer_is_given_up_and_asked_again(server: Misbehaving) -> None:
    server.will(slow(2.0, completion("late")))
    assert ask(server, timeout_seconds=0.3) == ["hello"]
    assert len(server.seen) == 2


def test_bytes_that_drip_do_not_outlive_the_timeout(server: Misbehaving) -> None:
    def drip(handler: Any, body: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)

    server.will(drip)
    begun = time.monotonic()
    assert ask(server, timeout_seconds=0.4) == ["hello"]
    assert time.monotonic() - begun < 1.9


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (status(401, "Incorrect API key provided"), "set OPENAI_API_KEY"),
        (status(403, "forbidden"), "forbidden"),
        (status(404, "The model `judge-1` does not exist"), "judge-1"),
        (status(400, "Unsupported parameter: 'max_tokens'; use 'max_completion_tokens' instead"), "limit_field: max_completion_tokens"),
        (status(422, "extra fields not permitted"), "not permitted"),
        (status(429, "You exceeded your current quota", error_code="insufficient_quota"), "quota"),
        (status(307, Location="https://elsewhere.example/v1"), "elsewhere.example"),
    ],
)
def test_what_will_not_pass_is_one_message_after_one_request(server: Misbehaving, act: Any, message: str) -> None:
    server.otherwise = act
    with pytest.raises(UserError, match=message) as raised:
        ask(server)
    assert not isinstance(raised.value, StageError)
    assert len(server.seen) == 1


def test_a_wrong_key_is_found_out_by_one_request_however_many_are_wanted(server: Misbehaving) -> None:
    server.otherwise = status(401)
    with pytest.raises(UserError):
        ask(server, 50)
    assert len(server.seen) == 1


def test_a_key_that_expires_amid_the_work_loses_nothing(server: Misbehaving, tmp_path: Path) -> None:
    server.will(*[completion("early")] * 10)
    server.otherwise = status(401, "expired")
    with pytest.raises(UserError, match="expired"):
        ask(server, 30, tmp_path / "replies.sqlite", concurrency=4)
    before = len(server.seen)
    assert before <= 10 + 4
    server.otherwise = completion("late")
    assert sorted(ask(server, 30, tmp_path / "replies.sqlite")) == ["early"] * 10 + ["late"] * 20
    assert len(server.seen) == before + 20


@pytest.mark.parametrize(
    "content",
    [
        b"<html><body>Welcome</body></html>",
        b"",
        b"\xff\xfe\x00garbage",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": 3}}]}',
        b'{"error": {"message": "upstream"}}',
        b"[" * 100_000,
        b"null",
    ],
)
def test_a_reply_that_is_none_is_a_fault_of_its_question_and_not_asked_again(server: Misbehaving, content: bytes) -> None:
    server.will(completion("first"), raw(content))
    found = ask(server, 4, concurrency=1)
    assert [text for text in found if not text.startswith("fault")] == ["first", "hello", "hello"]
    assert found[1].startswith("fault: it answers with")
    assert len(server.seen) == 4


def test_a_server_that_only_answers_in_html_is_told_by_its_first_replies(server: Misbehaving) -> None:
    server.otherwise = raw(b"<!doctype html><title>Login</title>", "text/html")
    with pytest.raises(StageError, match=r"HTML.*Login.*base_url"):
        ask(server, 100, concurrency=4)
    assert len(server.seen) <= 8


def test_one_text_that_the_server_refuses_does_not_stop_the_others(server: Misbehaving) -> None:
    too_long = status(400, "This model's maximum context length is 8192 tokens", error_code="context_length_exceeded")
    server.otherwise = lambda handler, body: (too_long if "3" in echo(body) else completion())(handler, body)
    found = ask(server, 5)
    assert found == ["hello", "hello", "hello", found[3], "hello"]
    assert "maximum context length" in found[3]
    assert len(server.seen) == 5


def test_a_server_that_is_gone_ends_the_work(server: Misbehaving) -> None:
    address = Server(model="m", base_url="http://127.0.0.1:9/v1", retries=1)
    with pytest.raises(StageError, match="no connection"):
        Client(address).ask(questions(address, 3))


def test_requests_are_under_way_side_by_side_and_no_more_than_allowed(server: Misbehaving) -> None:
    server.otherwise = slow(0.2, completion())
    begun = time.monotonic()
    ask(server, 17, concurrency=8)
    assert time.monotonic() - begun < 17 * 0.2, "one after the other would take that long"
    assert 4 <= server.most_at_once <= 8


@pytest.mark.parametrize("pace", [{"requests_per_minute": 600}, {"tokens_per_minute": 600 * 7}])
def test_requests_keep_the_pace(server: Misbehaving, pace: dict[str, float]) -> None:
    server.otherwise = completion("one two three four five")  # 2 + 5 tokens, one more than the estimate
    ask(server, 11, **pace)
    times = server.times()
    assert times[-1] - times[0] >= 9 * 0.095  # the last may be early by what the first estimates were wrong
    assert times[-1] - times[0] < 5


def test_two_clients_on_one_file_share_pace(server: Misbehaving, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    settings = named(server, requests_per_minute=600)
    clients = [Client(settings, tmp_path / "replies.sqlite") for _ in range(2)]
    halves = questions(settings, 12)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda client, asked: client.ask(asked), clients, (halves[:6], halves[6:])))
    times = sorted(server.times())
    assert len(times) == 12
    # a loaded machine may hold the first ones up; without a common pace the two would take half as long
    assert times[-1] - times[0] >= 0.75 * 11 * 0.1


def test_nothing_is_asked_twice_over_starts(server: Misbehaving, tmp_path: Path) -> None:
    server.otherwise = completion(echo)
    first = ask(server, 5, tmp_path / "replies.sqlite")
    assert ask(server, 8, tmp_path / "replies.sqlite")[:5] == first
    assert len(server.seen) == 8
    assert ask(server, 8, tmp_path / "replies.sqlite", revision="another") == [f"question {n}" for n in range(8)]
    assert len(server.seen) == 16


def test_raw_replies_are_kept_with_what_was_asked(server: Misbehaving, tmp_path: Path) -> None:
    server.will(completion("good"), status(500, "oops"))
    ask(server, 2, tmp_path / "replies.sqlite", concurrency=1)
    with sqlite3.connect(tmp_path / "replies.sqlite") as base:
        rows = base.execute("select outcome, request, reply, tokens from attempts order by id").fetchall()
    assert [row[0] for row in rows] == ["reply", "refused", "reply"]
    assert json.loads(rows[0][1])["messages"][0]["content"] == "question 0"
    assert json.loads(rows[0][2])["choices"][0]["message"]["content"] == "good"
    assert "oops" in rows[1][2]
    assert [row[3] for row in rows] == [3, 0, 3]


def test_the_key_is_sent_and_written_nowhere(server: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    server.will(completion(f"your key is {KEY}"), raw(f"<html>{KEY}".encode()))
    server.otherwise = status(401, f"Incorrect API key provided: {KEY}")
    seen: list[str] = []
    settings = named(server, key_variable="MY_KEY", concurrency=1)
    client = Client(settings, tmp_path / "replies.sqlite")
    with pytest.raises(UserError) as raised:
        client.ask(questions(settings, 3), lambda step: seen.append(step.note))
    assert {one.authorization for one in server.seen} == {f"Bearer {KEY}"}
    assert KEY not in f"{raised.value} {settings!r} {settings.model_dump_json()} {seen} {client!r} {settings.model_identity()}"
    for path in tmp_path.iterdir():  # also what SQLite has not yet merged
        assert KEY.encode() not in path.read_bytes(), path
    client.close()
    assert KEY.encode() not in (tmp_path / "replies.sqlite").read_bytes()


def test_a_key_with_a_line_break_is_refused_without_showing_it(server: Misbehaving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one\nsk-two")
    with pytest.raises(UserError, match="OPENAI_API_KEY") as raised:
        ask(server)
    assert "sk-" not in str(raised.value)


def test_a_key_that_is_meant_but_missing_is_told_before_anything_is_sent(server: Misbehaving, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"\$MY_KEY: no key"):
        ask(server, key_variable="MY_KEY")
    with pytest.raises(UserError, match=r"\$OPENAI_API_KEY: no key"):
        Client(Server(model="m"))
    assert ask(server, key_variable=None) == ["hello"]
    assert len(server.seen) == 1


def test_it_works_where_an_event_loop_runs(server: Misbehaving) -> None:
    async def notebook() -> list[str]:
        return ask(server, 3)

    assert asyncio.run(notebook()) == ["hello"] * 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "https://user:sk-key@host/v1"),
        ("base_url", "https://host/v1?api-key=sk-key"),
        ("base_url", "ftp://host"),
        ("base_url", "not an address"),
        ("extra", {"Authorization": "sk-key"}),
        ("extra", {"max_tokens": 3}),
        ("budget", {"usd": 1.0}),
        ("concurrency", 0),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        Server(model="m", **{field: value})


def test_identity_is_what_changes_answers() -> None:
    plain = Server(model="m")
    assert (
        plain.model_identity() == Server(model="m", base_url="http://else/v1", concurrency=1, key_variable=None, retries=0).model_identity()
    )
    different = [Server(model="n"), Server(model="m", revision="2"), Server(model="m", extra={"a": 1})]
    assert len({json.dumps(one.model_identity(), sort_keys=True) for one in [plain, *different]}) == 4
