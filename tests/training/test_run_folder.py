"""What lies in a run's folder is whole."""

from __future__ import annotations

import threading
from pathlib import Path
from unittest.mock import patch

import pytest
from filelock import FileLock

from valuedrift.errors import StageError, UserError
from valuedrift.training.folder import RunFolder
from valuedrift.training.records import HeldOutLoss, Metrics
from valuedrift.training.writer import doubled_step


def save(folder: Path, content: str) -> None:
    (folder / "weights").write_text(content)


def test_a_checkpoint_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", "me")

    def dies(target: Path) -> None:
        save(target, "half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.publish(3, dies, {})
    assert not folder.checkpoint_path(3).exists()
    folder.publish(3, lambda target: save(target, "whole"), {"step": 3})
    assert (folder.checkpoint_path(3) / "weights").read_text() == "whole"
    assert (folder.checkpoint_path(3) / "checkpoint.json").exists()


def test_what_is_later_than_the_state_is_forgotten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", "me")
    for step in (1, 2, 3):
        folder.publish(step, lambda target: save(target, "x"), {})
        folder.add_metrics(Metrics(step=step, loss=1.0 / step))
    with (folder.out / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 4, "lo')  # cut off by a kill
    (folder.out / ".partial-step-000004").mkdir()
    folder.forget_after(2)
    assert sorted(path.name for path in folder.out.glob("*step-*")) == ["step-000001", "step-000002"]
    assert not list(folder.out.glob(".partial*"))
    assert [(row.step, row.loss) for row in folder.metrics()] == [(1, 1.0), (2, 0.5)]
    folder.add_metrics(Metrics(step=3))
    assert len(folder.metrics()) == 3


def test_the_latest_whole_state_counts(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", "me")
    assert folder.resume_point("policy") == (0, None)
    for step in (2, 9, 10):
        written = folder.state / "policy" / f"checkpoint-{step}"
        written.mkdir()
        save(written, str(step))
        if step != 10:  # killed before it was whole
            folder.keep_state("policy", step, written)
    step, state = folder.resume_point("policy")
    assert step == 9
    assert state is not None
    assert (state / "weights").read_text() == "9"
    assert [path.name for path in (folder.state / "policy").iterdir()] == [state.name]


def test_a_folder_belongs_to_one_training(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", "me")
    RunFolder(tmp_path / "run", "me")
    with pytest.raises(UserError, match="another training"):
        RunFolder(tmp_path / "run", "you")
    (tmp_path / "documents").mkdir()
    save(tmp_path / "documents", "precious")
    with pytest.raises(UserError, match="not empty"):
        RunFolder(tmp_path / "documents", "me")


def test_a_second_training_waits_until_the_first_has_left_the_folder(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path / "run", "me"), RunFolder(tmp_path / "run", "me")
    waited, inside = threading.Event(), threading.Event()

    def train() -> None:
        with second.writer.alone(waited.set):
            inside.set()
            second.add_metrics(Metrics(step=2))

    thread = threading.Thread(target=train)
    with first.writer.alone(lambda: None):
        thread.start()
        assert waited.wait(30)
        first.add_metrics(Metrics(step=1))
        assert not inside.is_set()
    thread.join(30)
    assert [row.step for row in second.metrics()] == [1, 2]
    with pytest.raises(StageError, match="another process goes on with this training"):
        first.add_metrics(Metrics(step=2))


def test_who_slept_writes_nothing_any_more_though_no_lock_holds(tmp_path: Path) -> None:
    slept, other = RunFolder(tmp_path / "run", "me"), RunFolder(tmp_path / "run", "me")
    with patch.object(FileLock, "acquire", side_effect=OSError(37, "No locks available")), slept.writer.alone(lambda: None):
        slept.add_metrics(Metrics(step=1))
        written = slept.state / "policy" / "checkpoint-1"
        written.mkdir(parents=True)
        with other.writer.alone(lambda: None):
            for write in (
                lambda: slept.add_metrics(Metrics(step=2)),
                lambda: slept.add_held_out_loss(HeldOutLoss(step=2, loss=1.0)),
                lambda: slept.publish(2, lambda target: save(target, "x"), {}),
                lambda: slept.keep_state("policy", 1, written),
                lambda: slept.forget_after(0),
                lambda: slept.resume_point("policy"),
                slept.start_over,
            ):
                with pytest.raises(StageError, match="another process goes on"):
                    write()
            assert [row.step for row in other.metrics()] == [1]


@pytest.mark.parametrize(("steps", "twice"), [((), None), ((1, 2, 3), None), ((1, 2, 2, 3), 2), ((1, 2, 1, 3, 2), 1), ((4, 5), None)])
def test_what_two_processes_once_wrote_together_is_recognised(tmp_path: Path, steps: tuple[int, ...], twice: int | None) -> None:
    folder = RunFolder(tmp_path / "run", "me")
    for step in steps:
        folder.add_metrics(Metrics(step=step, loss=1.0))
    assert doubled_step(folder.out) == twice
    folder.add_held_out_loss(HeldOutLoss(step=0, loss=1.0))
    folder.add_held_out_loss(HeldOutLoss(step=0, loss=1.0))
    assert doubled_step(folder.out) == (0 if twice is None else twice)
    folder.publish(1, lambda target: save(target, "x"), {})
    with folder.writer.alone(lambda: None):
        folder.start_over()
    assert {path.name for path in folder.out.iterdir()} == {"run.json", ".lock", ".writer"}
    assert doubled_step(folder.out) is None
