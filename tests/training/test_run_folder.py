"""What lies in a run's folder is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from valuedrift.errors import UserError
from valuedrift.training.folder import Metrics, RunFolder


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
