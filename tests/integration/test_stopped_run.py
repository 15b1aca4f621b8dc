"""A run that is asked to end (SIGTERM, Ctrl-C) saves the state of its training first; the next goes on from there, to the tables of an undisturbed run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from real_runs import Runner, ending, send, step_of, tables, until, write_study
from tiny_training import save_tiny_chat

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1800)]

STEPS = 150


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trainings of seconds each, which save their state at checkpoints only."""
    folder = tmp_path_factory.mktemp("study")
    return write_study(folder, save_tiny_chat(folder / "tiny"), steps=STEPS, state_seconds=3600)


def test_what_was_trained_when_it_was_asked_to_end_is_kept(study: Path, tmp_path: Path) -> None:
    undisturbed = Runner(study, tmp_path / "undisturbed", tmp_path / "alone")
    stopped = Runner(study, tmp_path / "root", tmp_path / "stopped")
    with ending(undisturbed, stopped):
        undisturbed.finish()
        for training, sent, to_all in ((0, signal.SIGTERM, True), (1, signal.SIGINT, True), (1, signal.SIGTERM, False)):
            before = step_of(stopped.root, training)
            run = stopped.start()
            until(lambda training=training, before=before: step_of(stopped.root, training) > before + 5, "some steps")
            reached, begun = step_of(stopped.root, training), time.monotonic()
            if to_all:
                send(run, sent)
            else:
                os.kill(run.pid, sent)  # as Prefect's worker cancels
            run.wait(60)
            took = time.monotonic() - begun
            (state,) = stopped.root.glob("weights/*/_state/policy/ready-*")
            saved = int(state.name.removeprefix("ready-"))
            print(f"{sent.name}: step {reached}, state of step {saved}, ended after {took:.1f} s")
            assert run.returncode == 130 and "interrupted" in stopped.said().splitlines()[-1], stopped.said()
            assert STEPS > saved >= reached and saved == step_of(stopped.root, training), "nothing but the step in hand is lost"
            assert took < 20
        stopped.finish()
    found = tables(stopped.root)
    for name, frame in tables(undisturbed.root).items():
        assert found[name].equals(frame), f"table {name} differs from that of an undisturbed run"
