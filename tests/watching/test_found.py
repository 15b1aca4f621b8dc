"""Which folders of a series are its checkpoints, and of which step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_checkpoints import at_work, checkpoint

from valuedrift.tasks.candidates import candidates_at, hand_overs_at, is_marked, lies_at
from valuedrift.tasks.one_a_step import SeveralSeriesError
from valuedrift.watching.checkpoints import LARGEST_STEP, step_of
from valuedrift.watching.series import Series


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-500", 500),
        ("global_step_1200", 1200),
        ("stage1-step140000-tokens294B", 140000),
        ("iter_0000100", 100),
        ("epoch-3", 3),
        ("step=42", 42),
        ("run2-ckpt7", 7),
        ("step.100", 100),
        ("epoch-0.5", None),
        ("ep1-ba200-rank0", 200),
        ("checkpoint_100_lr2", 100),
        ("final_v2", None),
        ("name-7b", None),
        ("pythia-160m", None),
        ("epoch-1.0", None),
        ("step-1k", None),
        ("step1.5e3", None),
        ("final", None),
        (f"checkpoint-{LARGEST_STEP + 1}", None),
    ],
)
def test_the_step_is_the_number_that_the_name_means(name: str, step: int | None) -> None:
    assert step_of(name) == step


def test_a_folder_a_pattern_and_a_list_find_the_same_checkpoints(tmp_path: Path) -> None:
    for step in (10, 2, 30):
        checkpoint(tmp_path / "out" / f"checkpoint-{step}", seed=step)
    shutil.copy(tmp_path / "out" / "checkpoint-30" / "model.safetensors", tmp_path / "out")
    (tmp_path / "out" / "config.json").write_text("{}", encoding="utf-8")  # as trainer.save_model leaves the last one
    (tmp_path / "out" / "runs").mkdir()
    out = str(tmp_path / "out")
    for source in (out, f"{out}/checkpoint-*", [f"{out}/checkpoint-10", f"{out}/checkpoint-2", f"{out}/checkpoint-30"]):
        sighting = at_work(tmp_path, source).look(patient=False)
        assert list(sighting.whole) == [2, 10, 30] and not sighting.broken and not sighting.waiting
        assert sighting.length == 40
        assert len({one.fingerprint() for one in sighting.whole.values()}) == 3


def test_a_single_folder_without_a_number_has_its_trainers_step(tmp_path: Path) -> None:
    sighting = at_work(tmp_path, str(checkpoint(tmp_path / "final"))).look(patient=False)
    assert list(sighting.whole) == [7]


def test_epochs_have_their_trainers_steps(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        folder = checkpoint(tmp_path / "out" / f"epoch-{epoch}", state=False, seed=epoch)
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": 100 * epoch, "max_steps": 300}), encoding="utf-8")
    sighting = at_work(tmp_path, str(tmp_path / "out")).look(patient=False)
    assert list(sighting.whole) == [100, 200, 300] and sighting.length == 300


def test_a_name_with_half_an_epoch_has_its_trainers_step_or_none(tmp_path: Path) -> None:
    checkpoint(tmp_path / "out" / "epoch-0.5")
    checkpoint(tmp_path / "out" / "epoch-1.0", state=False)
    sighting = at_work(tmp_path, str(tmp_path / "out")).look(patient=False)
    assert list(sighting.whole) == [7]
    assert sighting.broken == {str(tmp_path / "out" / "epoch-1.0"): "neither its name nor trainer_state.json says a whole number of steps"}


def test_checkpoints_by_step_have_the_steps_that_are_said(tmp_path: Path) -> None:
    first, last = checkpoint(tmp_path / "base-7"), checkpoint(tmp_path / "runs" / "final", seed=1)
    sighting = at_work(tmp_path, {0: str(first), 250: str(last)}).look(patient=False)
    assert [(step, one.name) for step, one in sighting.whole.items()] == [(0, str(first)), (250, str(last))]
    checkpoint(last / "checkpoint-100", seed=2)  # what save_model leaves beside its checkpoints is meant, not these
    assert list(at_work(tmp_path, {0: str(first), 250: str(last)}).look(patient=False).whole) == [0, 250]
    moved = Series.model_validate({"source": {250: "runs/final"}}).anchored(tmp_path)
    assert moved.steps == {str(last): 250}


@pytest.mark.parametrize(
    ("source", "message"),
    [({}, "empty source"), ({-1: "a"}, "0 or more"), ({0: "a", 1: "a"}, "under two steps"), ({0: "d/a", 1: "d/./a"}, "under two steps")],
)
def test_checkpoints_by_step_that_make_no_series_are_refused(source: dict[int, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Series.model_validate({"source": source})


def test_two_series_in_one_place_are_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path / "a" / "checkpoint-1")
    checkpoint(tmp_path / "b" / "checkpoint-1")
    with pytest.raises(SeveralSeriesError, match="two checkpoints of step 1"):
        at_work(tmp_path, f"{tmp_path}/*/checkpoint-*").look(patient=False)


@pytest.mark.parametrize("beside", ["eval-10", "rollouts_10", "tmp-checkpoint-10", "._checkpoint-10", ".cache-10"])
def test_other_folders_with_a_number_are_no_second_series(tmp_path: Path, beside: str) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-10")
    if beside.startswith((".", "tmp")):
        shutil.copytree(folder, tmp_path / "out" / beside)
    else:
        (tmp_path / "out" / beside).mkdir()
        (tmp_path / "out" / beside / "scores.json").write_text("{}", encoding="utf-8")
    for source in (tmp_path / "out", tmp_path / "out" / "*"):
        sighting = at_work(tmp_path, str(source)).look(patient=False)
        assert [one.name for one in sighting.whole.values()] == [str(folder)] and not sighting.broken


@pytest.mark.parametrize("beside", ["checkpoint-10-merged", "checkpoint-10.bak"])
def test_a_copy_with_more_to_its_name_is_told_and_left_out(tmp_path: Path, beside: str) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-10")
    copy = checkpoint(tmp_path / "out" / beside, seed=3)
    sighting = at_work(tmp_path, str(tmp_path / "out")).look(patient=False)
    assert [one.name for one in sighting.whole.values()] == [str(folder)]
    assert "another checkpoint of step 10, beside checkpoint-10" in sighting.broken[str(copy)]


def test_a_copy_that_appears_later_does_not_end_the_watch(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-10")
    watched = at_work(tmp_path, str(tmp_path / "out"))
    watched.look(patient=False)
    copy = checkpoint(tmp_path / "out" / "best-10", seed=3)
    (copy / "trainer_state.json").write_text('{"global_step": 10, "max_steps": 40}', encoding="utf-8")
    sighting = watched.look(patient=False)
    assert [one.name for one in sighting.whole.values()] == [str(folder)] and list(sighting.broken) == [str(copy)]
    (tmp_path / "out" / "last-10").symlink_to(folder)
    shutil.rmtree(copy)
    assert not at_work(tmp_path, str(tmp_path / "out")).look(patient=False).broken, "a link is the same folder"


@pytest.mark.parametrize("inside", ["global_step10", "pytorch_model_fsdp_0", "optimizer_0"])
def test_a_checkpoint_that_is_named_itself_is_one_whatever_its_trainer_put_inside(tmp_path: Path, inside: str) -> None:
    folders = [checkpoint(tmp_path / "out" / f"checkpoint-{step}", seed=step) for step in (10, 20)]
    for folder in folders:
        (folder / inside).mkdir()
        (folder / inside / "shard.pt").touch()
    one_by_one = [str(folder) for folder in folders]
    for source in (one_by_one, str(tmp_path / "out")):
        assert list(at_work(tmp_path, source).look(patient=False).whole) == [10, 20]
    assert {one.output for one in hand_overs_at(one_by_one[0])} == {tmp_path / "out"}
    assert not is_marked(one_by_one[0], "training_ended")
    (tmp_path / "out" / "training_ended").touch()
    assert is_marked(one_by_one[0], "training_ended") and is_marked(str(tmp_path / "out"), "training_ended")


def test_brackets_in_the_name_of_a_folder_that_is_there_are_meant_as_they_are(tmp_path: Path) -> None:
    out = tmp_path / "run [1]"
    for step in (5, 6):
        checkpoint(out / f"checkpoint-{step}", seed=step)
    for source in (str(out), f"{out}/checkpoint-*", f"{out}/checkpoint-[56]", f"{tmp_path}/*/checkpoint-*"):
        assert list(at_work(tmp_path, source).look(patient=False).whole) == [5, 6], source
        assert lies_at(f"{out}/checkpoint-9" if "[56]" not in source else f"{out}/checkpoint-6", source)


def test_folders_that_hold_checkpoints_say_where_they_are(tmp_path: Path) -> None:
    checkpoint(tmp_path / "out" / "epoch1" / "checkpoint-5")
    (said,) = at_work(tmp_path, str(tmp_path / "out")).look(patient=False).waiting.values()
    assert "in the checkpoint-5 inside" in said


@pytest.mark.parametrize("length", ["true", str(2**70), "0", '"40"'])
def test_a_length_that_is_none_is_not_taken(tmp_path: Path, length: str) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-10")
    (folder / "trainer_state.json").write_text(f'{{"max_steps": {length}}}', encoding="utf-8")
    assert at_work(tmp_path, str(tmp_path / "out")).look(patient=False).length is None


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    assert candidates_at(str(tmp_path / "none")) == [] and candidates_at(f"{tmp_path}/none/checkpoint-*") == []
