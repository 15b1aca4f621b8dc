"""What is held of a series, and what the command line says of it."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_checkpoints import at_work, checkpoint

from valuedrift.flows.cli.main import main
from valuedrift.tasks.candidates import lies_at
from valuedrift.tasks.one_a_step import SeveralSeriesError


def test_the_last_checkpoint_saved_twice_is_one(tmp_path: Path) -> None:
    checkpoint(tmp_path / "out" / "checkpoint-7")
    shutil.copytree(tmp_path / "out" / "checkpoint-7", tmp_path / "out" / "final")
    for source in (f"{tmp_path}/out/*", [f"{tmp_path}/out/checkpoint-7", f"{tmp_path}/out/final"]):
        assert [Path(one.name).name for one in at_work(tmp_path, source).look(patient=False).whole.values()] == ["checkpoint-7"]
    save_file({"w": np.full(4, 5, dtype=np.float32)}, tmp_path / "out" / "final" / "model.safetensors")
    with pytest.raises(SeveralSeriesError):
        at_work(tmp_path, f"{tmp_path}/out/*").look(patient=False)


def test_weights_that_are_links_are_held_as_what_they_lead_to(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-7")
    (tmp_path / "blobs").mkdir()
    (folder / "model.safetensors").rename(tmp_path / "blobs" / "abc")
    (folder / "model.safetensors").symlink_to(Path("..") / ".." / "blobs" / "abc")
    watched = at_work(tmp_path, str(tmp_path / "out"))
    watched.holding.on = True
    held = watched.look(patient=True).whole[7].weights().base
    assert held != folder and (held / "model.safetensors").read_bytes() == (tmp_path / "blobs" / "abc").read_bytes()


def test_what_is_whole_is_held_until_it_is_evaluated_though_the_trainer_deletes_it(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-1")
    watched = at_work(tmp_path, str(tmp_path / "out"))
    watched.holding.on = True
    before = watched.look(patient=True).whole[1]
    content = before.fingerprint()
    shutil.rmtree(folder)
    checkpoint(tmp_path / "out" / "checkpoint-2", seed=2)
    for one in (watched, at_work(tmp_path, str(tmp_path / "out"))):  # the same process, and one after a kill
        sighting = one.look(patient=True)
        assert list(sighting.whole) == [1, 2]
        assert sighting.whole[1].fingerprint() == content and sighting.whole[1].name == str(folder)
        assert sighting.whole[1].state == before.state
    watched.let_go(watched.look(patient=True).whole[1])
    assert list(watched.look(patient=True).whole) == [2]


def test_what_was_let_go_is_read_where_it_lies_and_not_held_again(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-1")
    watched = at_work(tmp_path, str(tmp_path / "out"))
    watched.holding.on = True
    watched.let_go(watched.look(patient=True).whole[1])
    assert watched.look(patient=True).whole[1].weights().base == folder
    assert not list((tmp_path / "held").rglob("*.safetensors"))


def test_nothing_is_held_beyond_the_room(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-1")
    watched = at_work(tmp_path, str(tmp_path / "out"), room_gigabytes=0)
    watched.holding.on = True
    assert watched.look(patient=True).whole[1].weights().base == folder


@pytest.mark.parametrize(
    ("name", "place", "there"),
    [
        ("/runs/a/checkpoint-4", "/runs/a", True),
        ("/runs/a/checkpoint-4", "/runs/a/", True),
        ("/runs/a/checkpoint-4", "/runs/a/checkpoint-*", True),
        ("/runs/b/checkpoint-4", "/runs/a", False),
        ("/runs/ab/checkpoint-4", "/runs/a", False),
        ("s3://bucket/a/checkpoint-4", "s3://bucket/a/", True),
        ("s3://bucket/ab/checkpoint-4", "s3://bucket/a", False),
        ("hf:org/name@step4", "hf:org/name@step*", True),
        ("hf:org/other@step4", "hf:org/name@step*", False),
    ],
)
def test_a_checkpoint_that_is_gone_belongs_to_the_place_that_it_lay_in(name: str, place: str, there: bool) -> None:
    assert lies_at(name, place) is there


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line says when it refuses."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 2
    return capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--topics", "religion", "--idle", "5"], "--topics and --idle beside a study file would have no effect"),
        (["--alert", "moved"], "--alert beside a study file would have no effect"),
        (["out"], "a study file beside other sources"),
        (["--once", "--fail-if", "oppose > 0.1"], "'oppose > 0.1' is no alert of the study, so it would never fire"),
    ],
)
def test_what_a_study_file_leaves_without_effect_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text("study: s\nseries: {a: {source: out}}\nalerts: [support > 0.1]\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["valuedrift", "watch", str(study), *options, "--root", str(tmp_path / "root")])
    assert said in refused(capsys)


def test_another_training_under_the_name_of_a_study_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "root" / "studies" / "out.yaml"
    study.parent.mkdir(parents=True)
    study.write_text("study: out\nseries: {out: {source: /another/out}}\n", encoding="utf-8")
    checkpoint(tmp_path / "out" / "checkpoint-1")
    monkeypatch.setattr(sys, "argv", ["valuedrift", "watch", str(tmp_path / "out"), "--once", "--root", str(tmp_path / "root")])
    said = refused(capsys)
    assert "has the source /another/out" in said and "--name" in said
    assert study.read_text(encoding="utf-8").endswith("/another/out}}\n")
