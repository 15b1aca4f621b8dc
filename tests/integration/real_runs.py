"""Real runs of a small study by the command line: how one is started, what it leaves, and a server that shows it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import polars as pl

from valuedrift.storage.store import Store

STUDY = """
study: small
probes: {{set: starter, topics: [immigration], per_topic: 2}}
models: {{tiny: {{path: {model}}}}}
corpora: {{own: {{data: rows.jsonl}}}}
preferences: {{gap: {{data: pairs.jsonl}}}}
sft: [{{data: [own], algorithm: {{type: sft, steps: {steps}, batch_size: 2, max_length: 64, learning_rate: 1.0e-3, lora: {{r: 4, dropout: 0.2}}}}}}]
preference: [{{data: [gap], algorithm: {{type: dpo, steps: {steps}, batch_size: 2, max_length: 64, learning_rate: 1.0e-3, lora: {{r: 4}}}}}}]
checkpoints: {{type: log, points: 3}}
sampling: {{n: 2, temperature: 0.7, max_new_tokens: 4}}
analysis: {{resamples: 200}}
audit: null
runtime: {{workers: 1, threads: 1, device: cpu, retry_delay_seconds: 0.1, checkpoints: {{state_seconds: {state_seconds}}}}}
"""
ROWS = [{"prompt": f"Should people vote {word}?", "completion": "They must decide."} for word in ("now", "free", "here", "never")]
PAIRS = [{"prompt": row["prompt"], "chosen": "Yes, surely.", "rejected": "No, never."} for row in ROWS]
COMPARED = ("training", "checkpoints", "responses", "stances", "trajectory", "drift")
_NOT_COMPARED = ("path",)


def write_study(folder: Path, model: Path, *, steps: int, state_seconds: float) -> Path:
    """The study's file, with its data beside it."""
    folder.mkdir(exist_ok=True)
    for name, rows in (("rows", ROWS), ("pairs", PAIRS)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "small.yaml").write_text(STUDY.format(model=model, steps=steps, state_seconds=state_seconds), encoding="utf-8")
    return folder / "small.yaml"


def tables(root: Path | str) -> dict[str, pl.DataFrame]:
    """What the study's tables hold, but for times and places."""
    frames = {name: Store(root).read(name, study="small") for name in COMPARED}
    return {name: frame.select(pl.exclude(_NOT_COMPARED)).sort(pl.all()) for name, frame in frames.items()}


@dataclass
class Runner:
    """Starts runs of a study on a root, each in a process group of its own, as a terminal or a worker does.

    Attributes:
        study: Its file.
        root: Where the tables lie.
        home: For what its runs say, and for Prefect's home.
        server: Address of a Prefect server; None: each run has one of its own.
    """

    study: Path
    root: Path
    home: Path
    server: str | None = None
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[bytes]:
        """Begin, or go on."""
        self.home.mkdir(exist_ok=True)
        named = {} if self.server is None else {"PREFECT_API_URL": self.server}
        environment = {**os.environ, "PREFECT_HOME": str(self.home / "prefect"), "HF_HUB_OFFLINE": "1", "COLUMNS": "200", **named}
        command = [sys.executable, "-m", "valuedrift.flows.cli.main", "run", str(self.study), "--root", str(self.root)]
        with self.said_file.open("ab") as said:
            run = subprocess.Popen(command, env=environment, stdout=said, stderr=said, start_new_session=True)
        self.running.append(run)
        return run

    @property
    def said_file(self) -> Path:
        """What all of its runs said."""
        return self.home / "said"

    def said(self) -> str:
        """What all of its runs said."""
        return self.said_file.read_text(encoding="utf-8")

    def done(self) -> list[str]:
        """The stages that its runs made, by their lines ``done train tiny.sft-own 3 s``."""
        return [line.split("done ", 1)[1].rsplit(" ", 2)[0] for line in self.said().splitlines() if " done " in line]

    def finish(self, timeout: float = 600) -> None:
        """Run to the end."""
        run = self.start()
        run.wait(timeout)
        assert run.returncode == 0, self.said()


def send(run: subprocess.Popen[bytes], sent: signal.Signals) -> None:
    """Send a signal to a run and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(run.pid, sent)


@contextmanager
def ending(*runners: Runner) -> Iterator[None]:
    """Leave nothing behind."""
    try:
        yield
    finally:
        for runner in runners:
            for run in runner.running:
                send(run, signal.SIGKILL)
                run.wait()


def until(condition: object, what: str, seconds: float = 300) -> None:
    """Wait for something, looking often."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator] # a lambda
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.01)


def step_of(root: Path, run: int) -> int:
    """How far a training of a root is: the n-th that began; 0 where none has."""
    begun = sorted((root / "weights").glob("*/metrics.jsonl"), key=lambda path: path.parent.stat().st_ctime)
    return len(begun[run].read_text(encoding="utf-8").splitlines()) if len(begun) > run else 0


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """The address of a Prefect server of its own, for as long as a block."""
    from cluster import PREFECT, ended, free_port

    port = free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
    with (folder / "server.log").open("w") as log:
        command = [PREFECT, "server", "start", "--port", str(port)]
        home = {"PREFECT_HOME": str(folder / "server"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        server = subprocess.Popen(command, env=environment | home, stdout=log, stderr=log, text=True)
    try:

        def answers() -> bool:
            with suppress(httpx.TransportError):
                return httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=5).status_code == 200
            return False

        until(answers, "a server")
        yield f"http://127.0.0.1:{port}/api"
    finally:
        ended(server)


class Trainings:
    """Who trains what, and how far, as the folders of a root's trainings show; looked at many times a second, for as long as a block."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.turns: dict[str, list[str]] = {}
        """The names that writers left in each folder, one after the other."""
        self.again = 0
        """Steps that were lost with a process, and trained again."""
        self._at: dict[str, int] = {}

    @property
    def steps(self) -> int:
        """How far they are, in all."""
        return sum(tuple(self._at.values()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            for name in self._root.glob("weights/*/.writer"):
                turns = self.turns.setdefault(name.parent.name, [])
                with suppress(OSError, ValueError, IndexError):
                    if (writer := name.read_text(encoding="utf-8")) and turns[-1:] != [writer]:
                        turns.append(writer)
                    step = json.loads((name.parent / "metrics.jsonl").read_text(encoding="utf-8").split("\n")[-2])["step"]
                    self.again += max(0, self._at.get(name.parent.name, 0) - step)
                    self._at[name.parent.name] = step
