"""Which checkpoints are whole, which are waited for and which are broken."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_checkpoints import at_work, checkpoint

from valuedrift.errors import DataError
from valuedrift.watching.checkpoints import NotWholeError, look_into


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("pytorch_model_fsdp_0/__0_0.distcp", "accelerate merge-weights"),
        ("global_step20/mp_rank_00_model_states.pt", "zero_to_fp32.py"),
        ("pytorch_model.bin", "save_pretrained"),
        ("adapter_model.bin", "weights_only=True"),
        ("model.ckpt", "save_pretrained"),
        ("model.gguf", "GgufConfig"),
    ],
)
@pytest.mark.parametrize("config", ["config.json", "adapter_config.json", "generation_config.json"])
def test_weights_in_another_format_are_told_at_once_with_the_remedy(tmp_path: Path, name: str, fix: str, config: str) -> None:
    folder = tmp_path / "out" / "checkpoint-20"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(b"weights")
    (folder / config).write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="no safetensors, but ") as raised:
        look_into(folder)
    assert fix in str(raised.value)


def test_a_trainers_own_pickled_files_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "optimizer.pt").write_bytes(b"state")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(NotWholeError, match=r"no model\.safetensors yet"):
        look_into(tmp_path)


def test_a_checkpoint_is_taken_up_when_it_is_whole_and_never_before(tmp_path: Path) -> None:
    """Every prefix of the bytes of its weights, with whatever else there already is, is waited for."""
    whole = checkpoint(tmp_path / "whole" / "checkpoint-1")
    weights = (whole / "model.safetensors").read_bytes()
    growing = tmp_path / "out" / "checkpoint-1"
    shutil.copytree(whole, growing)
    watched = at_work(tmp_path, str(tmp_path / "out"))
    for length in range(len(weights)):
        (growing / "model.safetensors").write_bytes(weights[:length])
        for patient in (True, False):
            sighting = watched.look(patient=patient)
            assert not sighting.whole and len(sighting.waiting) == 1, length
    (growing / "model.safetensors").write_bytes(weights)
    (growing / "trainer_state.json").write_bytes((whole / "trainer_state.json").read_bytes())
    assert list(watched.look(patient=True).whole) == [1]


def test_shards_are_whole_when_all_that_the_index_names_are_there(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-1")
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    save_file({"a": np.zeros(2, dtype=np.float32)}, folder / "model-00001-of-00002.safetensors")
    watched = at_work(tmp_path, str(tmp_path / "out"))
    assert list(watched.look(patient=False).waiting) == [str(folder)]
    save_file({"b": np.zeros(2, dtype=np.float32)}, folder / "model-00002-of-00002.safetensors")
    assert list(watched.look(patient=False).whole) == [1]


def test_without_the_trainers_last_file_it_must_be_quiet(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-1", state=False)
    watched = at_work(tmp_path, str(tmp_path / "out"), quiet_seconds=3600)
    assert watched.look(patient=True).waiting and watched.look(patient=True).waiting
    quick = at_work(tmp_path, str(tmp_path / "out"), quiet_seconds=0)
    assert quick.look(patient=True).waiting
    assert list(quick.look(patient=True).whole) == [1]
    (folder / "later.json").write_text("{}", encoding="utf-8")
    assert quick.look(patient=True).waiting, "it changed again"


def test_a_marker_of_ones_own_is_waited_for(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-1")
    watched = at_work(tmp_path, str(tmp_path / "out"), marker="DONE", quiet_seconds=0)
    assert watched.look(patient=True).waiting and watched.look(patient=True).waiting
    (folder / "DONE").touch()
    assert list(watched.look(patient=True).whole) == [1]


def test_a_marker_that_was_copied_before_the_weights_counts_once_all_is_quiet(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-1", state=False)
    watched = at_work(tmp_path, str(tmp_path / "out"), marker="DONE", quiet_seconds=0)
    assert not watched.look(patient=False).whole, "without its marker it is not taken, whoever asks"
    (folder / "DONE").touch()
    os.utime(folder / "DONE", (1, 1))
    watched.look(patient=True)
    assert list(watched.look(patient=True).whole) == [1]


def test_a_training_that_went_back_and_writes_over_a_checkpoint_is_waited_for(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "out" / "checkpoint-1")
    watched = at_work(tmp_path, str(tmp_path / "out"), quiet_seconds=3600)
    before = watched.look(patient=True).whole[1]
    save_file({"w": np.full(4, 9, dtype=np.float32)}, folder / "model.safetensors")
    later = (folder / "trainer_state.json").stat().st_mtime_ns + 10**9
    os.utime(folder / "model.safetensors", ns=(later, later))
    assert watched.look(patient=True).waiting, "the old trainer_state.json does not speak of the new weights"
    os.utime(folder / "trainer_state.json", ns=(later, later + 1))
    after = watched.look(patient=True).whole[1]
    assert after.state != before.state


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("pytorch_model.bin", "pickled weights of transformers (pytorch_model.bin)"),
        ("model.pth", "pickled weights"),
        ("consolidated.00.pth", "weights as Meta gives them (consolidated.*.pth)"),
        ("__0_0.distcp", "shards of a training by FSDP (*.distcp)"),
    ],
)
def test_pickled_weights_are_told_and_the_others_go_on(tmp_path: Path, file: str, what: str) -> None:
    checkpoint(tmp_path / "out" / "checkpoint-1")
    folder = checkpoint(tmp_path / "out" / "checkpoint-2")
    (folder / "model.safetensors").rename(folder / file)
    sighting = at_work(tmp_path, str(tmp_path / "out")).look(patient=False)
    assert list(sighting.whole) == [1]
    assert f"{folder}: no safetensors, but {what}" in sighting.broken[str(folder)]


@pytest.mark.parametrize("adapter", [False, True])
def test_a_reward_model_is_told_and_the_others_go_on(tmp_path: Path, adapter: bool) -> None:
    checkpoint(tmp_path / "out" / "checkpoint-1")
    folder = checkpoint(tmp_path / "out" / "checkpoint-2")
    if adapter:
        (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text('{"task_type": "SEQ_CLS"}', encoding="utf-8")
    else:
        (folder / "config.json").write_text('{"architectures": ["LlamaForSequenceClassification"]}', encoding="utf-8")
    sighting = at_work(tmp_path, str(tmp_path / "out")).look(patient=False)
    assert list(sighting.whole) == [1] and "scores and writes nothing" in sighting.broken[str(folder)]


def test_a_pipe_in_place_of_weights_is_waited_for_by_nobody(tmp_path: Path) -> None:
    checkpoint(tmp_path / "out" / "checkpoint-1")
    odd = checkpoint(tmp_path / "out" / "checkpoint-2")
    (odd / "model.safetensors").unlink()
    os.mkfifo(odd / "model.safetensors")
    sighting = at_work(tmp_path, str(tmp_path / "out")).look(patient=False)
    assert list(sighting.whole) == [1] and "model.safetensors is no file" in str({**sighting.broken, **sighting.waiting})
