"""What happens to a watch while it follows: checkpoints that go amid a look, files that cannot be read, faults of the looking itself."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest
from small_checkpoints import adapter, at_work, checkpoint

from valuedrift.errors import DataError, SameAgainError, StageError, UserError
from valuedrift.study import Study
from valuedrift.tasks import watch_lines
from valuedrift.tasks import watching as following
from valuedrift.tasks.study_work import StudyWork
from valuedrift.watching.held import state_of


def test_checkpoints_that_are_deleted_amid_a_look_raise_nothing(tmp_path: Path) -> None:
    """As with save_total_limit: a thread saves and deletes while another looks."""
    out, stop = tmp_path / "out", threading.Event()
    checkpoint(out / "checkpoint-1")

    def train() -> None:
        step = 2
        while not stop.is_set():
            checkpoint(out / f"checkpoint-{step}", seed=step)
            shutil.rmtree(out / f"checkpoint-{step - 1}")
            step += 1

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        watched, until = at_work(tmp_path, str(out)), time.monotonic() + 2
        while time.monotonic() < until:
            watched.look(patient=True)
    finally:
        stop.set()
        trainer.join()
    assert state_of(out / "checkpoint-0") == state_of(tmp_path / "none")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", '{"architectures": 5}'),
        ("config.json", '{"architectures": "LlamaForCausalLM"}'),
        ("adapter_config.json", "[" * 100_000),
    ],
)
def test_a_config_of_any_shape_ends_no_look(tmp_path: Path, file: str, content: str) -> None:
    checkpoint(tmp_path / "out" / "checkpoint-1")
    odd = checkpoint(tmp_path / "out" / "checkpoint-2")
    if file == "adapter_config.json":
        (odd / "model.safetensors").rename(odd / "adapter_model.safetensors")
    (odd / file).write_text(content, encoding="utf-8")
    assert 1 in at_work(tmp_path, str(tmp_path / "out")).look(patient=False).whole


def test_what_cannot_be_read_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    checkpoint(tmp_path / "out" / "checkpoint-1")
    closed = checkpoint(tmp_path / "out" / "checkpoint-2")
    closed.chmod(0)
    try:
        sighting = at_work(tmp_path, str(tmp_path / "out")).look(patient=False)
    finally:
        closed.chmod(0o700)
    assert 1 in sighting.whole
    if 2 not in sighting.whole:  # root may read everything
        assert "not readable" in sighting.waiting[str(closed)]


def study_of(out: Path) -> Study:
    return Study.model_validate(
        {
            "study": "s",
            "probes": {"topics": ["religion"], "per_topic": 2},
            "series": {"ours": {"source": str(out), "quiet_seconds": 0}},
            "judges": [{"type": "cross-encoder"}],
            "runtime": {"watch_idle_minutes": 0.05},
        }
    )


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (["sft-checkpoint-100", "dpo-checkpoint-50", "sft-checkpoint-200"], ["dpo-checkpoint-# and sft-checkpoint-#"]),
        (["run1/checkpoint-5", "run2/checkpoint-10", "run1/checkpoint-15"], ["run1 and run2"]),
        (["epoch1/checkpoint-5", "epoch2/checkpoint-10"], []),
        (["checkpoint-5", "checkpoint-10"], []),
    ],
)
def test_what_looks_like_two_trainings_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: list[str], said: list[str]
) -> None:
    for seed, folder in enumerate(folders):
        checkpoint(tmp_path / "out" / folder, seed=seed)
    lines: list[str] = []
    monkeypatch.setattr(watch_lines, "tell", lines.append)
    deep = any("/" in folder for folder in folders)
    work = StudyWork(study_of(tmp_path / "out" / "*" / "checkpoint-*" if deep else tmp_path / "out"), str(tmp_path / "root"))
    with following.watching(work, live=False):
        pass
    assert [line.partition(": ")[2].partition(" are taken")[0] for line in lines if "one training" in line] == said


def test_a_watch_to_which_nothing_came_is_a_fault(tmp_path: Path) -> None:
    work = StudyWork(study_of(tmp_path / "nowhere"), str(tmp_path / "root"))
    with pytest.raises(UserError, match=r"nowhere: no whole checkpoint is there"), following.watching(work, live=True):
        until = time.monotonic() + 30
        while work.sources and time.monotonic() < until:
            time.sleep(0.02)


@pytest.mark.parametrize("fault", [KeyError("a fault of our own"), MemoryError()])
def test_a_fault_of_the_looking_itself_does_not_pass_for_the_end_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    checkpoint(tmp_path / "out" / "checkpoint-1")
    work = StudyWork(study_of(tmp_path / "out"), str(tmp_path / "root"))
    looks = 0
    real = work.watch.look

    def look(*, patient: bool = False) -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise fault
        return real(patient=patient)

    monkeypatch.setattr(work.watch, "look", look)
    with pytest.raises(type(fault)), following.watching(work, live=True):
        until = time.monotonic() + 20
        while work.sources and time.monotonic() < until:
            time.sleep(0.02)


def test_a_look_that_a_disk_disturbed_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(tmp_path / "out" / "checkpoint-1")
    work = StudyWork(study_of(tmp_path / "out"), str(tmp_path / "root"))
    looks = 0
    real = work.watch.look

    def look(*, patient: bool = False) -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            checkpoint(tmp_path / "out" / "checkpoint-40", seed=4)
            raise OSError(116, "Stale file handle")
        return real(patient=patient)

    monkeypatch.setattr(work.watch, "look", look)
    monkeypatch.setattr(following, "_SETTLING_SECONDS", 0.05)
    with following.watching(work, live=True):
        until = time.monotonic() + 20
        while work.sources and time.monotonic() < until:
            time.sleep(0.02)
    assert looks > 3 and 40 in work.watch.seen("ours").whole


def asked(work: StudyWork) -> list[int | None]:
    return [stage.step for stage in following.stages_shown(work) if stage.name == "sample"]


def ended(work: StudyWork, step: int, fault: BaseException | None = None) -> None:
    """As if the stages of a checkpoint had ended."""
    for stage in following.stages_shown(work):
        if stage.step == step and (fault is None or stage.name == "sample"):
            (work.done if fault is None else work.failed)[stage.label] = stage.as_of
            if fault is not None:
                work.faults[stage.label] = fault


@pytest.mark.parametrize(
    ("fault", "left_out"),
    [
        (DataError("tensors of another shape"), True),
        (SameAgainError("a Python error"), True),
        (StageError("out of memory"), False),
        (RuntimeError("a fault of our own"), False),
    ],
)
def test_a_checkpoint_that_can_never_be_loaded_is_left_out_and_the_others_go_on(tmp_path: Path, fault: Exception, left_out: bool) -> None:
    for step in (1, 2, 3):
        checkpoint(tmp_path / "out" / f"checkpoint-{step}", seed=step)
    work = StudyWork(study_of(tmp_path / "out"), str(tmp_path / "root"))
    work.watch.one_by_one()
    assert asked(work) == [1, 2]
    ended(work, 2, fault)
    assert asked(work)[:2] == [1, 2], "the first may have the same fault"
    ended(work, 1)
    asked(work)
    assert asked(work) == ([1, 3] if left_out else [1, 2, 3])
    assert (work.faults == {}) is left_out and list(work.watch.left_out) == (["ours step 2"] if left_out else [])


def test_the_first_checkpoint_is_never_left_out(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint(tmp_path / "out" / f"checkpoint-{step}", seed=step)
    work = StudyWork(study_of(tmp_path / "out"), str(tmp_path / "root"))
    work.watch.one_by_one()
    ended(work, 1, DataError("tensors of another shape"))
    ended(work, 2)
    assert asked(work) == [1, 2]


def test_an_adapter_whose_base_is_gone_is_left_out_before_anything_is_asked(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base")
    for step, lies_on in ((10, base), (20, "/gone/base"), (30, base)):
        adapter(tmp_path / "out" / f"checkpoint-{step}", lies_on, seed=step)
    work = StudyWork(study_of(tmp_path / "out"), str(tmp_path / "root"))
    work.watch.one_by_one()
    for step in (0, 10):
        ended(work, step)
    asked(work)
    assert asked(work) == [0, 10, 30] and "/gone/base" in work.watch.left_out["ours step 20"]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", '{"model": {"voc', "[]", "\0"])
def test_small_files_that_are_half_written_are_waited_for(tmp_path: Path, name: str, content: str) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-1")
    (folder / name).write_text(content, encoding="utf-8")
    watched = at_work(tmp_path, str(tmp_path / "out"))
    sighting = watched.look(patient=False)
    assert not sighting.whole and name in sighting.waiting[str(folder)]
    (folder / name).write_text("{}", encoding="utf-8")
    assert list(watched.look(patient=False).whole) == [1]


def test_an_index_that_is_half_written_is_waited_for(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-1")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").touch()
    watched = at_work(tmp_path, str(tmp_path / "out"))
    assert list(watched.look(patient=False).waiting) == [str(folder)]
    index = '{"metadata": {}, "weight_map": {"w": "model-00001-of-00001.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    assert list(watched.look(patient=False).whole) == [1]


def test_what_is_deleted_before_the_flow_begins_is_held(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-10")
    following.check_beginning(StudyWork(study_of(tmp_path / "out"), str(tmp_path / "root")), live=True)
    shutil.rmtree(folder)
    checkpoint(tmp_path / "out" / "checkpoint-20", seed=2)
    work = StudyWork(study_of(tmp_path / "out"), str(tmp_path / "root"))
    work.watch.hold()
    work.watch.look(patient=True)
    assert sorted(work.watch.seen("ours").whole) == [10, 20]


def test_a_beginning_that_nobody_follows_holds_nothing(tmp_path: Path) -> None:
    checkpoint(tmp_path / "out" / "checkpoint-10")
    following.check_beginning(StudyWork(study_of(tmp_path / "out"), str(tmp_path / "root")), live=False)
    assert not list((tmp_path / "root").rglob("*.safetensors"))
