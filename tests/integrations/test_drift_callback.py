"""What a training's callback hands over, says and heeds: its methods driven as a Trainer drives them, on real folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from transformers import TrainerControl, TrainerState

from valuedrift.integrations.transformers import DriftCallback, _loaded_from
from valuedrift.integrations.watcher import Watcher
from valuedrift.storage.store import Store
from valuedrift.tasks.series import SeriesAtWork
from valuedrift.tasks.watch import Watch
from valuedrift.watching.handing import ALERTS, END_MARKER, HANDED, Crossed, HandOver
from valuedrift.watching.series import Series

CROSSED = Crossed(step=6, topic="drugs", stance="support", rule="support > 0.1", change=0.3, change_low=0.2, change_high=0.4)


@dataclass
class Training:
    """The loop of a Trainer without a model: it saves a folder at each step, keeps the last few and calls the callback."""

    output: Path
    callback: DriftCallback
    keep: int = 1
    zero: bool = True
    control: Any = field(default_factory=TrainerControl)
    state: Any = field(default_factory=lambda: TrainerState(max_steps=10))

    def begin(self, step: int = 0, model: object = None) -> Training:
        self.output.mkdir(exist_ok=True)
        self.state.global_step, self.state.is_world_process_zero = step, self.zero
        self.call("on_train_begin", model=model)
        return self

    def steps(self, *steps: int, seed: int = 0) -> Training:
        for step in steps:
            self.state.global_step = step
            self.call("on_step_end")
            save(self.output / f"checkpoint-{step}", seed=seed + step)
            kept = sorted(self.output.glob("checkpoint-*"), key=lambda path: path.stat().st_mtime_ns)
            for folder in kept[: -self.keep]:
                shutil.rmtree(folder)
            self.call("on_save")
            if self.control.should_training_stop:
                break
        return self

    def end(self) -> None:
        self.call("on_train_end")

    def call(self, event: str, **given: object) -> None:
        getattr(self.callback, event)(SimpleNamespace(output_dir=str(self.output)), self.state, self.control, **given)


def save(folder: Path, *, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"w": np.full(4, seed, dtype=np.float32)}, folder / "model.safetensors")
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}", encoding="utf-8")
    (folder / "trainer_state.json").write_text('{"global_step": 7, "max_steps": 10}', encoding="utf-8")


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(tmp_path / "out", DriftCallback(watcher=False, root=tmp_path / "root"))


def follower(tmp_path: Path, source: str = "out") -> SeriesAtWork:
    at_work = SeriesAtWork(Series(source=str(tmp_path / source), quiet_seconds=3600), tmp_path / "held")
    at_work.holding.on = True
    return at_work


def weights_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("source", ["out", "out/checkpoint-*", "*/checkpoint-*"])
def test_checkpoints_that_the_trainer_deleted_are_seen_as_they_were(training: Training, tmp_path: Path, source: str) -> None:
    training.begin().steps(2, 4, 6)
    assert [path.name for path in training.output.glob("checkpoint-*")] == ["checkpoint-6"]
    watched = follower(tmp_path, source)
    sighting = watched.look(patient=True)
    assert list(sighting.whole) == [2, 4, 6] and sighting.length == 10, "at once, and without a second look"
    assert [one.name for one in sighting.whole.values()] == [str(training.output / f"checkpoint-{step}") for step in (2, 4, 6)]
    assert len({one.fingerprint() for one in sighting.whole.values()}) == 3
    assert not (tmp_path / "held").exists(), "what was handed over is not held again"


def test_what_is_evaluated_is_let_go_and_the_rest_is_not(training: Training, tmp_path: Path) -> None:
    training.begin().steps(2, 4)
    watched = follower(tmp_path)
    sighting = watched.look(patient=True)
    for step in (2, 4):
        watched.let_go(sighting.whole[step])
    assert [held.step for held in HandOver(training.output).handed()] == []
    assert list(watched.look(patient=True).whole) == [4], "4 still lies there"
    assert watched.look(patient=True).whole[4].weights().base == training.output / "checkpoint-4"


def test_a_training_that_went_back_hands_over_the_same_step_with_other_weights(training: Training, tmp_path: Path) -> None:
    training.begin().steps(2, 4)
    watched = follower(tmp_path)
    before = watched.look(patient=True).whole[4]
    lies = before.weights().base
    old = weights_of(lies)
    training.begin(2).steps(4, seed=100)
    after = watched.look(patient=True).whole[4]
    assert after.state != before.state and after.fingerprint() != before.fingerprint()
    assert weights_of(lies) == old, "whoever still samples the old ones reads the old ones"
    watched.let_go(before)
    assert [held.state for held in HandOver(training.output).handed() if held.step == 4] == [after.state]
    training.begin(2).steps(4, seed=200)
    watched.let_go(watched.look(patient=True).whole[4])
    assert [held.step for held in HandOver(training.output).handed()] == [2], "what came before is let go with it"


def test_an_old_end_is_taken_away_and_the_watch_goes_on(training: Training, tmp_path: Path) -> None:
    training.begin().steps(8, 10).end()
    watch = Watch({"out": Series(source=str(training.output))}, Store(tmp_path / "root"), "s", tmp_path / "held")
    watch.look(patient=True)
    assert (training.output / END_MARKER).exists() and watch.ended()
    (training.output / END_MARKER).unlink()
    watch.look(patient=True)
    assert watch.ended(), "the last step is there"
    training.begin(8)
    assert not (training.output / END_MARKER).exists() and not watch.ended(), "it goes back; the last step of before is not its end"
    training.steps(9, 10).end()
    watch.look(patient=True)
    assert watch.ended()


def test_what_is_handed_over_is_seen_without_a_look(training: Training, tmp_path: Path) -> None:
    watched = follower(tmp_path)
    stamps = [watched.stamp()]
    training.begin()
    stamps.append(watched.stamp())
    training.steps(2)
    stamps.append(watched.stamp())
    assert stamps[0] != stamps[1] != stamps[2] == watched.stamp()


def test_beyond_the_room_it_is_said_once_and_the_training_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callback = DriftCallback(watcher=False, root=tmp_path / "root", room_gigabytes=0)
    training = Training(tmp_path / "out", callback).begin().steps(2, 4, 6)
    assert not training.control.should_training_stop
    assert capsys.readouterr().err.count("checkpoint-2 is not handed over") == 1
    assert not list(HandOver(training.output).handed())


def test_only_the_first_process_does_anything(tmp_path: Path) -> None:
    training = Training(tmp_path / "out", DriftCallback(root=tmp_path / "root"), zero=False).begin().steps(2)
    training.end()
    assert not (training.output / HANDED).exists() and not (training.output / END_MARKER).exists()


@pytest.mark.parametrize("stop", [True, False])
def test_an_alert_is_said_and_stops_the_training_where_it_may(tmp_path: Path, capsys: pytest.CaptureFixture[str], stop: bool) -> None:
    training = Training(tmp_path / "out", DriftCallback(watcher=False, root=tmp_path / "root", stop_on_alert=stop))
    training.begin().steps(2, 4)
    assert not training.control.should_training_stop
    HandOver(training.output).tell(CROSSED)
    training.steps(6, 8)
    assert training.control.should_training_stop is stop and training.state.global_step == (6 if stop else 8)
    said = capsys.readouterr().err
    assert said.count("step 6: support on drugs +0.30 [+0.20, +0.40] (support > 0.1)") == 1
    assert said.count("the training stops") == int(stop)


def test_alerts_of_an_earlier_training_stop_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = Training(tmp_path / "out", DriftCallback(watcher=False, root=tmp_path / "root", stop_on_alert=True))
    HandOver(training.output).tell(CROSSED)
    training.begin().steps(2, 4)
    assert not training.control.should_training_stop
    assert "an earlier training" in capsys.readouterr().err


def test_an_alert_that_is_half_written_is_waited_for(tmp_path: Path) -> None:
    training = Training(tmp_path / "out", DriftCallback(watcher=False, root=tmp_path / "root", stop_on_alert=True)).begin()
    line = CROSSED.model_dump_json() + "\n"
    path = training.output / HANDED / ALERTS
    path.write_text(line[:20], encoding="utf-8")
    assert not training.steps(2).control.should_training_stop
    path.write_text(line, encoding="utf-8")
    assert training.steps(4).control.should_training_stop


def test_a_watch_tells_the_training_that_listens_and_no_other(training: Training, tmp_path: Path) -> None:
    watch = Watch({"out": Series(source=str(training.output))}, Store(tmp_path / "root"), "s", tmp_path / "held")
    training.output.mkdir()
    watch.tell_training("out", CROSSED)
    assert not list(training.output.iterdir())
    training.begin()
    watch.tell_training("out", CROSSED)
    assert (training.output / HANDED / ALERTS).read_text() == CROSSED.model_dump_json() + "\n"


def test_a_watcher_that_dies_is_told_once_and_the_training_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callback = DriftCallback(root=tmp_path / "root", name="mine", more=["--no-such-option"])
    training = Training(tmp_path / "out", callback).begin()
    assert callback._watcher is not None
    callback._watcher.wait()
    training.steps(2, 4, 6).end()
    said = capsys.readouterr().err
    assert said.count("the watcher ended with exit code 2") == 1 and "valuedrift watch" in said
    assert [held.step for held in HandOver(training.output).handed()] == [2, 4, 6], "kept for a watcher to come"
    assert "No such option" in callback._watcher.log.read_text()


def test_the_line_says_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUEDRIFT_ROOT", str(tmp_path / "theirs"))
    callback = DriftCallback(
        base="hf:a/b",
        topics=["drugs", "trade"],
        per_topic=6,
        samples=2,
        judge="lexical",
        name="mine",
        alerts="any moved",
        more=["--no-such-option"],
    )
    training = Training(tmp_path / "out", callback).begin()
    assert callback._watcher is not None
    callback._watcher.wait()
    assert callback._watcher.line == (
        f"valuedrift watch {training.output} --topics drugs --topics trade --per-topic 6 --probes starter --samples 2 --max-new-tokens 256 "
        f"--judge lexical --alert 'any moved' --no-such-option --base hf:a/b --name mine --root {tmp_path / 'theirs'}"
    )


def test_one_watcher_a_folder_and_none_of_the_launchers_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.setenv(name, "1")
    first, second = (Watcher(tmp_path / "w", [str(tmp_path / "out"), "--root", str(tmp_path / name)], {"MARK": "x"}) for name in ("a", "b"))
    assert not first.is_at_work() and first.start()
    try:
        assert not second.start() and second.is_at_work() and second.other_line == first.line
        assert first._process is not None
        process = Path(f"/proc/{first._process.pid}")
        if process.exists():
            variables = {entry.partition(b"=")[0].decode() for entry in (process / "environ").read_bytes().split(b"\0")}
            assert "MARK" in variables and not variables & {"RANK", "LOCAL_RANK", "MASTER_ADDR", "ACCELERATE_MIXED_PRECISION"}
            assert os.getpriority(os.PRIO_PROCESS, first._process.pid) >= 10
    finally:
        first._process.kill()  # type: ignore[union-attr]
        first.wait()
    assert first.died is not None and "by signal 9" in first.died
    until = time.monotonic() + 10
    while second.is_at_work() and time.monotonic() < until:
        time.sleep(0.05)
    assert not second.is_at_work(), "the lock goes with the process, however it dies"


def test_what_a_model_was_loaded_from(tmp_path: Path) -> None:
    output, base = tmp_path / "out", tmp_path / "base"
    for folder in (output / "checkpoint-3", base):
        folder.mkdir(parents=True)

    def of(name: str) -> str | None:
        return _loaded_from(SimpleNamespace(config=SimpleNamespace(_name_or_path=name)), output)

    assert of(str(base)) == str(base) and of("org/name") == "hf:org/name"
    assert of(str(output / "checkpoint-3")) is None and of("") is None and of("gone/far/away") is None
    assert _loaded_from(None, output) is None


_ONE_OF_TWO = """
import sys
from pathlib import Path
import torch.distributed as dist
sys.path.insert(0, sys.argv[4])
from test_drift_callback import CROSSED, DriftCallback, HandOver, Training
rank, folder = int(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
training = Training(folder / f"out{rank}", DriftCallback(watcher=False, root=folder / "root", stop_on_alert=True), zero=rank == 0).begin()
training.steps(2)
if rank == 0:
    HandOver(training.output).tell(CROSSED)
training.call("on_step_end")
assert not training.control.should_training_stop, "between saves the others would not know"
training.steps(4, 6)
assert training.control.should_training_stop and training.state.global_step == 4
Path(sys.argv[3]).write_text("stopped")
"""


@pytest.mark.slow
def test_all_processes_of_a_training_stop_at_one_save(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _ONE_OF_TWO, str(rank), str(tmp_path), str(tmp_path / f"stopped{rank}"), str(Path(__file__).parent)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "GLOO_SOCKET_IFNAME": "lo"},
        )
        for rank in (0, 1)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    assert all((tmp_path / f"stopped{rank}").read_text() == "stopped" for rank in (0, 1))


def spoilt_folder(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    training.output.mkdir()
    (training.output / HANDED).write_text("no folder", encoding="utf-8")


def no_processes(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")


def full_disk(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    (training.output / HANDED / "watcher.log").mkdir(parents=True)


@pytest.mark.parametrize("spoil", [spoilt_folder, no_processes, full_disk])
def test_whatever_happens_to_what_watches_the_training_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Training, pytest.MonkeyPatch], None],
) -> None:
    training = Training(tmp_path / "out", DriftCallback(root=tmp_path / "root", stop_on_alert=True))
    spoil(training, monkeypatch)
    training.begin().steps(2, 4)
    shutil.rmtree(training.output)
    training.call("on_save")
    training.end()
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("valuedrift: ")]
    assert said and len(said) == len(set(said)) <= 5 and not training.control.should_training_stop


def test_a_folder_that_is_gone_at_the_end_spoils_no_training(training: Training, capsys: pytest.CaptureFixture[str]) -> None:
    training.begin().steps(2)
    shutil.rmtree(training.output)
    training.end()
    assert "is not told that the training has ended" in capsys.readouterr().err


def test_variables_of_the_watcher_may_be_numbers(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path / "w", ["--no-such-option"], {"CUDA_VISIBLE_DEVICES": 7})  # type: ignore[dict-item] # as people write it
    assert watcher.start()
    watcher.wait()
    assert "exit code 2" in str(watcher.died)


def test_a_revision_of_the_hub_is_the_base_that_was_loaded(tmp_path: Path) -> None:
    model = SimpleNamespace(config=SimpleNamespace(_name_or_path="gpt2", _commit_hash="abc"))
    assert _loaded_from(model, tmp_path) == "hf:gpt2@abc"


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_training_that_goes_on_with_an_adapter_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], goes_on: bool) -> None:
    import torch

    weights = {"q.lora_A.default.weight": torch.ones(2), "q.lora_B.default.weight": torch.full((2,), float(goes_on))}
    model = SimpleNamespace(named_parameters=weights.items)
    training = Training(tmp_path / "out", DriftCallback(root=tmp_path / "root", more=["--no-such-option"])).begin(model=model)
    training.end()
    assert ("goes on with an adapter" in capsys.readouterr().err) is goes_on
