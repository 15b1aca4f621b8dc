"""Two processes on one study and one root, as on two machines, killed again and again: what each does, and who kills them.

The stages are made up, so that a process costs little; what they use is not: the folder of a training, the tables, claims, `once`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl

from valuedrift.cache import CACHE_VARIABLE
from valuedrift.fingerprint import fingerprint
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.once import once_each
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.work import Work
from valuedrift.training.folder import RunFolder
from valuedrift.training.records import Metrics

STEPS = 12
STATE_EVERY = 3
TABLES = ("training", "responses", "stances")
_STEP_SECONDS = 0.04
_PATIENCE_SECONDS = 900
ANSWER = {"probe_set": "p", "topic": "t", "sample_idx": 0, "prompt_id": "q"}
DRAWN = {"finish_reason": "stop", "n_tokens": 2, "engine": "transformers", "sampling": "s"}
JUDGED = {"p_support": 0.5, "p_neutral": 0.25, "p_oppose": 0.25, "unassigned": 0.0, "status": "ok", "polarity": 1, "pair_id": None}


def stages(log: Path, steps: int) -> list[Stage]:
    """Two runs, one after the other; three checkpoints of each are sampled and judged. Every piece of work is a line of the log."""

    def note(text: str) -> None:
        with log.open("a", encoding="utf-8") as stream:  # one write, at the end: lines of several processes do not mix
            stream.write(f"{os.getpid()} {text}\n")

    def trained(run: str, needs: tuple[Stage, ...]) -> Stage:
        def make(work: Work, results: Sequence[Reference]) -> Frames:
            folder = RunFolder(work.weights_folder(fingerprint([run, "weights"])), run)
            with folder.writer.alone(lambda: None):
                step, _ = folder.resume_point("policy")
                folder.forget_after(step)
                for now in range(step + 1, steps + 1):
                    work.check_claims()
                    note(f"train {run} {now}")
                    time.sleep(_STEP_SECONDS)
                    folder.add_metrics(Metrics(step=now, loss=1.0 / now))
                    if now % STATE_EVERY == 0:
                        written = folder.state / "policy" / f"checkpoint-{now}"
                        written.mkdir(parents=True)
                        folder.keep_state("policy", now, written)
                return {"training": pl.DataFrame([row.model_dump() for row in folder.metrics()])}

        return Stage("train", Address(("training",), {"study": "s", "run_id": run}), needs, lambda _: {"run": run, "steps": steps}, make)

    def sampled(run: str, step: int, needs: tuple[Stage, ...]) -> Stage:
        def make(work: Work, results: Sequence[Reference]) -> Frames:
            note(f"sample {run} {step}")
            time.sleep(_STEP_SECONDS)
            loss = results[0].read(work)["loss"][step - 1]
            return {"responses": pl.DataFrame([{**ANSWER, **DRAWN, "response": f"{run} {loss}", "checkpoint": f"{run}-{step}"}])}

        place = {"study": "s", "run_id": run, "step": step}
        return Stage("sample", Address(("responses",), place), needs, lambda results: {"of": results[0].key, "step": step}, make)

    def judged(run: str, step: int, needs: tuple[Stage, ...]) -> Stage:
        def make(work: Work, results: Sequence[Reference]) -> Frames:
            note(f"judge {run} {step}")
            return {"stances": pl.DataFrame([{**ANSWER, **JUDGED, "judge": "j"}])}

        place = {"study": "s", "run_id": run, "step": step}
        return Stage("judge", Address(("stances",), place, "j"), needs, lambda results: {"of": results[0].key}, make)

    listed: list[Stage] = []
    parents: tuple[Stage, ...] = ()
    for run in ("a", "b"):
        train = trained(run, parents)
        samples = [sampled(run, step, (train,)) for step in (1, steps // 2, steps)]
        judges = [judged(run, sample.step or 0, (sample,)) for sample in samples]
        listed += [train, *samples, *judges]
        parents = (train,)
    return listed


def tables(root: str) -> dict[str, pl.DataFrame]:
    """The tables of the study."""
    store = Work(root, Runtime()).store
    return {name: store.read(name, study="s").sort(pl.all()) for name in TABLES}


@dataclass
class Killing:
    """What came of it.

    Attributes:
        kills: How often a process was killed.
        at_work: How often it was the one that worked.
        log: What was done, by process, what, run and step, in order.
        seconds: How long all took.
    """

    kills: int
    at_work: int
    log: list[tuple[int, str, str, int]]
    seconds: float

    def redone(self) -> dict[str, int]:
        """How often each piece of work was done more than once, by kind."""
        done: dict[tuple[str, str, int], int] = {}
        for _, what, run, step in self.log:
            done[what, run, step] = done.get((what, run, step), 0) + 1
        return {kind: sum(count - 1 for (what, *_), count in done.items() if what == kind) for kind in ("train", "sample", "judge")}

    def check_nobody_worked_beside(self) -> None:
        """No two processes worked on one thing in turns: who began after another went on alone."""
        for what, run in {(what, run) for _, what, run, _ in self.log}:
            if what != "train":
                continue
            at_it = [pid for pid, kind, of, _ in self.log if (kind, of) == (what, run)]
            turns = [pid for at, pid in enumerate(at_it) if at == 0 or at_it[at - 1] != pid]
            assert len(turns) == len(set(turns)), f"{what} {run}: {turns}"


def kill_together(root: str, folder: Path, kills: int, steps: int, lease_seconds: float, seed: int = 0) -> Killing:
    """Start two processes on one root, each with a cache of its own; kill one of them, and start it anew, as often as told, and let them finish.

    When to kill is drawn in lines of the log, not in seconds: the same moments of the work on a busy machine and on an idle one.
    """
    draw = random.Random(seed)
    log = folder / "log"
    log.touch()
    began = time.monotonic()
    command = [sys.executable, str(Path(__file__)), root, str(log), str(steps), str(lease_seconds)]

    def start(number: int) -> subprocess.Popen[bytes]:
        with (folder / f"said-{number}").open("ab") as said:
            environment = {**os.environ, CACHE_VARIABLE: str(folder / f"cache-{number}")}
            return subprocess.Popen(command, env=environment, stdout=said, stderr=said)

    running = [start(0), start(1)]
    at_work = 0
    with _ended(running):
        for _ in range(kills):
            wanted = len(_lines(log)) + draw.randint(1, 3)
            _until(lambda wanted=wanted: len(_lines(log)) >= wanted, running, log)
            time.sleep(draw.uniform(0, 2 * _STEP_SECONDS))
            victim = draw.randrange(2)
            assert running[victim].poll() is None, f"it ended before all kills: {len(_lines(log))} lines"
            at_work += _lines(log)[-1][0] == running[victim].pid
            running[victim].send_signal(signal.SIGKILL)
            running[victim].wait()
            running[victim] = start(victim)
        _until(lambda: all(process.poll() is not None for process in running), [], log)
        said = "".join((folder / f"said-{number}").read_text(encoding="utf-8") for number in range(2))
        assert [process.returncode for process in running] == [0, 0], said
    return Killing(kills, at_work, _lines(log), time.monotonic() - began)


def _lines(log: Path) -> list[tuple[int, str, str, int]]:
    return [(int(pid), what, run, int(step)) for pid, what, run, step in map(str.split, log.read_text(encoding="utf-8").splitlines())]


@contextmanager
def _ended(running: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def _until(condition: object, running: Sequence[subprocess.Popen[bytes]], log: Path) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not condition():  # type: ignore[operator]  # a lambda
        assert time.monotonic() < end, f"nothing happens any more: {_lines(log)[-5:]}"
        assert not running or any(process.poll() is None for process in running), f"both ended before all kills: {len(_lines(log))} lines"
        time.sleep(0.01)


def main(root: str, log: str, steps: str, lease_seconds: str, stdout: IO[str] = sys.stdout) -> None:
    """One of the processes."""
    once_each(Work(root, Runtime(lease_seconds=float(lease_seconds))), stages(Path(log), int(steps)))


if __name__ == "__main__":
    main(*sys.argv[1:])
