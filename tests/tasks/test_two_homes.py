"""A second machine goes on from what the first one put into the bucket: weights are brought, and a killed training is resumed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_training import save_tiny_chat
from two_homes import carry_out, write_study

from valuedrift.cache import CACHE_VARIABLE
from valuedrift.storage.location import Location
from valuedrift.storage.marked import Marker
from valuedrift.storage.store import Store
from valuedrift.storage.weights_store import WeightsStore
from valuedrift.study import load_study
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.survey import State, survey

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_chat(tmp_path_factory.mktemp("models") / "tiny")


def trained_rows(root: str) -> list[tuple[str, int, str]]:
    return sorted(Store(root).read("checkpoints", study="far").select("run_id", "step", "fingerprint").rows())


def test_another_machine_trains_nothing_again_and_samples_what_is_missing(
    model: Path, s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path / "study", model)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "one"))
    carry_out(study, s3_root, "train")
    rows = trained_rows(s3_root)
    paths = [json.loads(path) for path in Store(s3_root).read("checkpoints", study="far")["path"]]
    under = [text for path in paths for text in (path["base"], *path["adapters"]) if text != str(model)]
    assert under and all(text.startswith("weights/") for text in under), paths

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "other"))
    work = StudyWork(load_study(study), s3_root)
    standings = survey(work, [stage for stage in stages_of(work) if stage.name in ("train", "sample")])
    assert {(one.stage.name, one.state) for one in standings} == {("train", State.CACHED), ("sample", State.MISSING)}
    carry_out(study, s3_root, "train", "sample")
    assert trained_rows(s3_root) == rows
    assert Store(s3_root).read("responses", study="far").height == len(rows) * 2
    log = (tmp_path / "other").rglob("metrics.jsonl")
    assert not list(log), "nothing was trained on the other machine"


def test_a_training_that_is_killed_is_resumed_by_another_machine(
    model: Path, s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 600  # some seconds of training: its state is looked at once a second
    study = write_study(tmp_path / "study", model, steps=steps)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "undisturbed"))
    carry_out(study, undisturbed := str(tmp_path / "root"), "train")

    root, script = f"{s3_root}/killed", Path(__file__).with_name("two_homes.py")
    environment = {**os.environ, CACHE_VARIABLE: str(tmp_path / "one")}
    machine = subprocess.Popen([sys.executable, str(script), str(study), root], env=environment, start_new_session=True)
    reached = 0
    limit = time.monotonic() + 300
    try:
        while reached < 5 and machine.poll() is None and time.monotonic() < limit:
            markers = [found.location for found in (Location.parse(root) / "weights").listing() if found.location.name == "_state.json"]
            states = [state for place in markers if (state := Marker.at(place)) is not None]
            reached = max((state.progress[1] for state in states), default=0)
            time.sleep(0.05)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(machine.pid, signal.SIGKILL)
        machine.wait()
    assert 5 <= reached < steps, "killed while it trained"
    assert not Store(root).studies()

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "other"))
    brought: list[bool] = []
    bring_run = WeightsStore.bring_run
    monkeypatch.setattr(WeightsStore, "bring_run", lambda *args: brought.append(bring_run(*args)) or brought[-1])
    carry_out(study, root, "train")
    assert brought == [True, False], "the killed training was brought; the one after it had not begun"
    assert trained_rows(root) == trained_rows(undisturbed)
    trained = Store(root).read("training", study="far").sort("run_id", "step").select("run_id", "step").rows()
    assert trained == Store(undisturbed).read("training", study="far").sort("run_id", "step").select("run_id", "step").rows()
