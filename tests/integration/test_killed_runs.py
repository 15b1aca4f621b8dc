"""Two real runs of one study on one root, started together, killed at random moments and started again: the tables are those of an undisturbed run."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from real_runs import Runner, Trainings, ending, prefect_server, send, tables, until, write_study
from tiny_training import save_tiny_chat

from valuedrift.storage.store import Store

_MOST_SECONDS = 8.0
"""From the first sign of work after a kill to the next kill: so that not all of them hit runs that only begin."""
_STEPS_A_KILL = 20
"""Of each of two trainings, so that the study is not done before all kills."""
_STATE_SECONDS = 2.0
_PATIENCE_SECONDS = 3600.0


@pytest.mark.parametrize(
    "kills",
    [pytest.param(3, marks=[pytest.mark.slow, pytest.mark.long]), pytest.param(30, marks=pytest.mark.figures)],
)
@pytest.mark.timeout(7200)
def test_two_runs_killed_at_random_make_the_tables_of_an_undisturbed_one(kills: int, tmp_path: Path) -> None:
    draw = random.Random(kills)
    study = write_study(tmp_path / "study", save_tiny_chat(tmp_path / "tiny"), steps=_STEPS_A_KILL * kills, state_seconds=_STATE_SECONDS)
    root = tmp_path / "root"
    with prefect_server(tmp_path) as server:
        undisturbed = Runner(study, tmp_path / "undisturbed", tmp_path / "alone", server)
        two = [Runner(study, root, tmp_path / f"machine-{number}", server) for number in range(2)]
        with ending(undisturbed, *two):
            undisturbed.finish(1800)
            begun, killed = time.monotonic(), Counter[str]()
            with Trainings(root) as trainings:
                running = [runner.start() for runner in two]
                while killed.total() < kills:
                    before = _signs(trainings, two)
                    until(lambda before=before: _signs(trainings, two) != before or _ended(running), "a sign of work", _PATIENCE_SECONDS)
                    time.sleep(draw.uniform(0, _MOST_SECONDS))
                    victim = draw.randrange(2)
                    if running[victim].poll() is not None:
                        assert running[victim].returncode == 0, two[victim].said()
                        break  # done before all kills
                    send(running[victim], signal.SIGKILL)
                    running[victim].wait()
                    killed[f"machine-{victim}"] += 1
                    running[victim] = two[victim].start()
                for run, runner in zip(running, two, strict=True):
                    run.wait(_PATIENCE_SECONDS)
                    assert run.returncode == 0, runner.said()
            seconds = time.monotonic() - begun
    assert killed.total() == kills, "the study was done before all kills"
    found = tables(root)
    for name, frame in tables(undisturbed.root).items():
        assert found[name].equals(frame), f"table {name} differs from that of an undisturbed run"
    made = Counter(label for runner in two for label in runner.done() if label.split()[0] in ("train", "sample", "judge"))
    assert max(made.values()) == 1, made
    for folder, turns in trainings.turns.items():
        assert len(turns) == len(set(turns)), f"two processes trained in turns in {folder}"
    interrupted = sum(map(len, trainings.turns.values())) - len(trainings.turns)
    total = Store(root).read("training", study="small").height
    print(
        f"{killed.total()} kills of {dict(killed)}; {interrupted} of a training at work; {total} steps, {trainings.again} trained again "
        f"(a state every {_STATE_SECONDS:g} s); {seconds:.0f} s"
    )
    check = [sys.executable, "-m", "valuedrift.flows.cli.main", "tables", "check", "--root", str(root)]
    checked = subprocess.run(check, capture_output=True, text=True, timeout=300)
    assert checked.returncode == 0, checked.stdout


def _ended(running: Sequence[subprocess.Popen[bytes]]) -> bool:
    return any(run.poll() is not None for run in running)


def _signs(trainings: Trainings, runners: Sequence[Runner]) -> tuple[int, int]:
    """What changes with every step of a training and every stage that is done."""
    return trainings.steps, sum(len(runner.done()) for runner in runners)
