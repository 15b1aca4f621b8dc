"""A real HTTP server on this machine that speaks chat completions, or misbehaves as it is told."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
Act = Callable[["Handler", Body], None]


@dataclass
class Seen:
    """One request as it arrived."""

    at: float
    path: str
    authorization: str | None
    body: Body


@dataclass
class Misbehaving:
    """The server, and what it saw.

    Acts in ``script`` are done one a request in order of arrival; then ``otherwise`` is done for each.
    """

    otherwise: Act
    script: deque[Act] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def will(self, *acts: Act) -> None:
        self.script.extend(acts)

    def times(self) -> list[float]:
        return [one.at for one in self.seen]


class Handler(BaseHTTPRequestHandler):
    """Takes the next act and does it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        state: Misbehaving = self.server.state  # type: ignore[attr-defined]  # set by serve()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with state.lock:
            state.seen.append(Seen(time.monotonic(), self.path, self.headers.get("Authorization"), body))
            state.at_once += 1
            state.most_at_once = max(state.most_at_once, state.at_once)
            act = state.script.popleft() if state.script else state.otherwise
        try:
            act(self, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with state.lock:
                state.at_once -= 1

    def answer(self, status: int, content: bytes, kind: str = "application/json", headers: Iterable[tuple[str, str]] = ()) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(content))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that the client gave up are meant."""


def serve(otherwise: Act) -> tuple[_Server, Misbehaving]:
    """Start a server on a free port."""
    server = _Server(("127.0.0.1", 0), Handler)
    state = Misbehaving(otherwise)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.state = state  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server, state


def tokens_of(body: Body) -> int:
    """What this server counts as prompt tokens: words."""
    return sum(len(message["content"].split()) for message in body["messages"])


def completion(
    text: str | Callable[[Body], str] = "hello",
    *,
    top: dict[str, float] | Callable[[Body], dict[str, float]] | None = None,
    usage: bool = True,
    refusal: str | None = None,
    ignores_n: bool = False,
) -> Act:
    """A proper completion; ``top`` are probabilities of first tokens, given only where they are asked for."""

    def act(handler: Handler, body: Body) -> None:
        said = text(body) if callable(text) else text
        likely = top(body) if callable(top) else top
        logprobs = None
        if likely and body.get("logprobs"):
            listed = sorted(({"token": token, "logprob": math.log(p)} for token, p in likely.items()), key=lambda one: -one["logprob"])
            logprobs = {"content": [{**listed[0], "top_logprobs": listed[: body["top_logprobs"]]}]}
        choice = {"message": {"role": "assistant", "content": said, "refusal": refusal}, "finish_reason": "stop", "logprobs": logprobs}
        n = 1 if ignores_n else body.get("n", 1)
        content: Body = {"id": "x", "model": body["model"], "choices": [{"index": at, **choice} for at in range(n)]}
        if usage:
            content["usage"] = {"prompt_tokens": tokens_of(body), "completion_tokens": n * len(said.split())}
        handler.answer(200, json.dumps(content).encode())

    return act


def status(code: int, message: str = "no", *, error_code: str | None = None, **headers: str) -> Act:
    """An error in OpenAI's form; header names with ``_`` for ``-``."""
    content = json.dumps({"error": {"message": message, "code": error_code}}).encode()
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return lambda handler, _: handler.answer(code, content, headers=named)


def raw(content: bytes, kind: str = "application/json", code: int = 200) -> Act:
    """Any body."""
    return lambda handler, _: handler.answer(code, content, kind)


def slow(seconds: float, then: Act) -> Act:
    """An act after a wait."""

    def act(handler: Handler, body: Body) -> None:
        time.sleep(seconds)
        then(handler, body)

    return act


def cut(handler: Handler, body: Body) -> None:
    """Hang up without a word."""
    handler.close_connection = True
    handler.connection.close()


def cut_midway(handler: Handler, body: Body) -> None:
    """Hang up in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    cut(handler, body)


def echo(body: Body) -> str:
    """The text of the last message."""
    return str(body["messages"][-1]["content"])
