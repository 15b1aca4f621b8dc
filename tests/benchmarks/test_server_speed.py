"""Asking a server side by side against one question after another, in one run, at a server that takes 50 ms an answer."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from valuedrift.judges.base import Pair
from valuedrift.judges.openai import OpenAI

_SECONDS = 0.05
_REPLY = json.dumps(
    {
        "choices": [
            {
                "message": {"content": "A"},
                "logprobs": {
                    "content": [
                        {
                            "token": "A",
                            "logprob": -0.1,
                            "top_logprobs": [{"token": label, "logprob": -p} for label, p in (("A", 0.1), ("B", 3), ("C", 4))],
                        }
                    ]
                },
            }
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 1},
    }
).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(_SECONDS)
        self.send_response(200)
        self.send_header("Content-Length", str(len(_REPLY)))
        self.end_headers()
        self.wfile.write(_REPLY)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@pytest.mark.benchmark
def test_side_by_side_against_one_after_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    pairs = [Pair(str(at), "Should we?", f"Yes, number {at}.") for at in range(40)]
    speeds = {}
    for concurrency in (1, 8, 32):
        judge = OpenAI(model="m", base_url=url, concurrency=concurrency).load(keep=tmp_path / str(concurrency))
        begun = time.perf_counter()
        assert len(judge.judge(pairs)) == len(pairs)
        speeds[concurrency] = len(pairs) / (time.perf_counter() - begun)
    begun = time.perf_counter()
    OpenAI(model="m", base_url=url).load(keep=tmp_path / "8").judge(pairs)
    kept = len(pairs) / (time.perf_counter() - begun)
    server.shutdown()
    with capsys.disabled():
        print(f"\n{'judging by a server':<26}{'answers/s':>10}{'ratio':>8}")
        for concurrency, speed in speeds.items():
            print(f"{f'{concurrency} at once':<26}{speed:>10.1f}{speed / speeds[1]:>8.1f}")
        print(f"{'kept replies':<26}{kept:>10.0f}{kept / speeds[1]:>8.0f}")
    assert speeds[8] > 2 * speeds[1]
    assert kept > speeds[8]
