"""What a training leaves is sent while it goes on; a bucket that is gone for a while costs nothing, one that stays away is one clear error."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from seaweed import running

from valuedrift.cache import CACHE_VARIABLE
from valuedrift.errors import UserError
from valuedrift.storage import s3
from valuedrift.storage.location import files_of
from valuedrift.storage.weights_store import Place
from valuedrift.study.runtime import Runtime
from valuedrift.tasks import sending as module
from valuedrift.tasks.sending import bring_training, sending
from valuedrift.tasks.work import Work
from valuedrift.training.folder import RunFolder
from valuedrift.training.records import Metrics

KEY = "0123456789abcdef0123"


def step(folder: RunFolder, number: int) -> None:
    """What a training does at a step that is saved."""

    def fill(target: Path) -> None:
        (target / "adapter_model.safetensors").write_bytes(os.urandom(1000))

    folder.add_metrics(Metrics(step=number, loss=1.0))
    folder.publish(number, fill, {"step": number})
    written = folder.state / "policy" / f"checkpoint-{number}"
    written.mkdir(parents=True)
    (written / "optimizer.pt").write_bytes(os.urandom(2000))
    folder.keep_state("policy", number, written)


def test_a_bucket_that_comes_back_has_all_of_it_and_one_that_stays_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.1)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "one"))
    with running(tmp_path / "weed") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        files_of.cache_clear()
        root = f"{server.bucket}/root"
        work = Work(root, Runtime())
        store = work.weights.store
        with sending(work, KEY, "train r"):
            folder = RunFolder(work.weights_folder(KEY), "me")
            step(folder, 1)
            limit = time.monotonic() + 60
            while store.state(KEY) is None and time.monotonic() < limit:
                time.sleep(0.1)
            assert store.sent_steps(KEY) == [Place(KEY, "step-000001")]
            server.kill()
            before = time.monotonic()
            step(folder, 2)
            assert time.monotonic() - before < 10, "a training does not wait for the bucket"
            time.sleep(1)
            server.start()
        state = store.state(KEY)
        assert state is not None and state.progress == (0, 2, 0)
        assert [place.step for place in store.sent_steps(KEY)] == ["step-000001", "step-000002"]

        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "other"))
        other = Work(root, Runtime())
        bring_training(other, KEY)
        brought = RunFolder(other.weights_folder(KEY), "me")
        assert brought.resume_point("policy")[0] == 2 and [row.step for row in brought.metrics()] == [1, 2]
        with pytest.raises(UserError, match="cannot be reached"), sending(other, KEY, "train r"):
            step(brought, 3)
            server.kill()
        assert brought.resume_point("policy")[0] == 3, "what is here stays"
        server.start()
        with sending(other, KEY, "train r"):
            pass
        assert store.state(KEY) is not None and [place.step for place in store.sent_steps(KEY)][-1] == "step-000003"
    files_of.cache_clear()


def test_single_checkpoints_that_were_brought_are_no_training_to_go_on_with(
    s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "one"))
    work = Work(s3_root, Runtime())
    step(RunFolder(work.weights_folder(KEY), "me"), 5)
    work.weights.store.send(Place(KEY, "step-000005"))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "other"))
    other = Work(s3_root, Runtime())
    other.weights.store.bring(Place(KEY, "step-000005"))
    bring_training(other, KEY)
    assert RunFolder(other.weights_folder(KEY), "me").resume_point("policy") == (0, None)
