"""A real vLLM server under the engine and the judge that ask servers, 64 requests at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from asked import THREADS

from valuedrift.engines.openai import OpenAIEngineConfig
from valuedrift.errors import StageError
from valuedrift.judges.base import Pair
from valuedrift.judges.causal_lm import CausalLM
from valuedrift.judges.openai import OpenAI
from valuedrift.sampling import Prompt, Sampling
from valuedrift.stance import STANCE_COLUMNS, JudgeStatus
from valuedrift.weights import Weights

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

AT_ONCE = 64
TOPICS = (
    "the voting age",
    "cars in cities",
    "a tax on meat",
    "nuclear power",
    "school uniforms",
    "zoos",
    "tuition fees",
    "sunday shopping",
)
QUESTIONS = [f"{opening} {topic}?" for topic in TOPICS for opening in ("What of", "Is it time to end", "Should we keep", "Who gains by")]


@dataclass(frozen=True)
class Served:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        family = psutil.Process(self.process.pid).children(recursive=True)
        for member in (self.process, *family):
            member.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def served(smollm: Weights, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("served") / "server.log"
    options = {"--model": smollm.base, "--served-model-name": "smollm", "--host": "127.0.0.1", "--port": port, "--max-model-len": 1024}
    options |= {"--dtype": "float32", "--kv-cache-memory-bytes": 2**31, "--max-num-seqs": AT_ONCE, "--generation-config": "vllm"}
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"]
    environment = {**os.environ, "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(THREADS), "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as out:
        arguments = [str(part) for option in options.items() for part in option]
        process = subprocess.Popen([*command, *arguments], stdout=out, stderr=out, env=environment)
    running = Served(f"http://127.0.0.1:{port}/v1", process, log)
    try:
        _wait_until_ready(running)
        yield running
    finally:
        if process.poll() is None:
            running.kill()


def _wait_until_ready(served: Served) -> None:
    deadline = time.monotonic() + 540
    while time.monotonic() < deadline:
        assert served.process.poll() is None, served.log.read_text()[-4000:]
        try:
            with urllib.request.urlopen(f"{served.url}/models", timeout=5) as reply:
                assert json.load(reply)["data"][0]["id"] == "smollm"
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise AssertionError(f"the server did not start\n{served.log.read_text()[-4000:]}")


def _engine(served: Served, **more: object) -> OpenAIEngineConfig:
    return OpenAIEngineConfig.model_validate(
        {"model": "smollm", "base_url": served.url, "concurrency": AT_ONCE, "send_seed": False, "timeout_seconds": 300, **more}
    )


def test_the_engine_draws_64_at_once(served: Served, tmp_path: Path) -> None:
    prompts = [Prompt(f"q{number}", question) for number, question in enumerate(QUESTIONS)]
    with _engine(served).open(keep=tmp_path) as engine:
        responses = engine.sample(prompts, Sampling(n=2, temperature=0.7, max_new_tokens=12))
    assert len(responses) == AT_ONCE
    assert all(response.finish_reason in ("stop", "length") and response.response for response in responses)
    assert len({response.response for response in responses}) > AT_ONCE / 2


def test_the_judge_reads_as_the_same_model_at_home(served: Served, tmp_path: Path) -> None:
    pairs = [Pair(str(number), question, "Yes, and soon.") for number, question in enumerate(QUESTIONS)]
    asked = OpenAI(model="smollm", base_url=served.url, rotations=1, concurrency=AT_ONCE, timeout_seconds=300)
    judged = asked.load(keep=tmp_path).judge(pairs)
    assert {judgement.status for judgement in judged} == {JudgeStatus.OK}
    home = CausalLM.model_validate({"engine": {"dtype": "float32"}, "rotations": 1}).load(threads=THREADS).judge(pairs[:4])
    for one, other in zip(judged[:4], home, strict=True):
        for column in STANCE_COLUMNS:
            assert getattr(one, column) == pytest.approx(getattr(other, column), abs=0.02), (one, other)


def test_a_server_that_dies_is_one_message(served: Served, tmp_path: Path) -> None:
    prompts = [Prompt(f"long{number}", question) for number, question in enumerate(QUESTIONS)]
    config = _engine(served, retries=2, max_wait_seconds=2)
    threading.Timer(2, served.kill).start()
    with config.open(keep=tmp_path) as engine, pytest.raises(StageError) as error:
        engine.sample(prompts, Sampling(n=2, temperature=0.7, max_new_tokens=400))
    assert served.url in str(error.value)
    assert "\n" not in str(error.value)
