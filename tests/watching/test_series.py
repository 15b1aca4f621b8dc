"""Which of a series' checkpoints are whole, waited for or broken, and what is done once one of them goes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from valuedrift.errors import DataError, UserError
from valuedrift.flows.cli.main import main
from valuedrift.tasks.candidates import candidates_at, hand_overs_at, is_marked, lies_at
from valuedrift.tasks.one_a_step import SeveralSeriesError
from valuedrift.tasks.series import SeriesAtWork
from valuedrift.watching.checkpoints import LARGEST_STEP, NotWholeError, look_into, step_of
from valuedrift.watching.series import Series


def checkpoint(folder: Path, *, state: bool = True, seed: int = 0) -> Path:
    """A folder with full weights as transformers' Trainer leaves it."""
    folder.mkdir(parents=True)
    save_file({"w": np.full(4, seed, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    if state:
        (folder / "trainer_state.json").write_text('{"global_step": 7, "max_steps": 40}', encoding="utf-8")
    return folder


def at_work(tmp_path: Path, source: object, **settings: object) -> SeriesAtWork:
    return SeriesAtWork(Series.model_validate({"source": source, "quiet_seconds": 0.05, **settings}), tmp_path / "held")


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


@pytest.mark.parametrize("kind", ["PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING"])
def test_an_adapter_that_changes_no_weights_is_broken(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "out" / "checkpoint-5"
    folder.mkdir(parents=True)
    save_file({"prompt_embeddings": np.zeros((4, 2), dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": kind, "task_type": "CAUSAL_LM"}), encoding="utf-8")
    sighting = at_work(tmp_path, str(tmp_path / "out")).look(patient=False)
    assert f"an adapter of the kind {kind}" in sighting.broken[str(folder)]


@pytest.mark.parametrize(
    ("named", "asked"),
    [
        ({"base_model_name_or_path": "org/name", "revision": "v2"}, "hf:org/name@v2"),
        ({"base_model_name_or_path": "org/name"}, "hf:org/name"),
        ({"base_model_name_or_path": "mybase"}, "hf:mybase"),
    ],
)
def test_an_adapters_base_is_that_of_its_revision_and_one_that_is_not_here_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: dict[str, str], asked: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "out" / "checkpoint-5"
    folder.mkdir(parents=True)
    save_file({"w": np.zeros(4, dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"task_type": "CAUSAL_LM", **named}), encoding="utf-8")
    found = at_work(tmp_path, str(tmp_path / "out")).look(patient=False).whole
    with pytest.raises(UserError, match=f"{asked} could not be fetched") as raised:
        found[5].weights()
    assert str(folder) in str(raised.value) and "--base" in str(raised.value)


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


def test_an_adapter_names_its_base_which_is_step_0(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base")
    folder = tmp_path / "out" / "checkpoint-4"
    folder.mkdir(parents=True)
    save_file({"lora": np.zeros(2, dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}), encoding="utf-8")
    assert look_into(folder).adapter
    sighting = at_work(tmp_path, str(tmp_path / "out")).look(patient=False)
    assert list(sighting.whole) == [0, 4]
    assert sighting.whole[0].weights().base == base and not sighting.whole[0].weights().adapters
    assert sighting.whole[4].weights().adapters == (folder,) and sighting.whole[4].adapter()


def adapter(folder: Path, base: Path | str, *, seed: int = 0) -> Path:
    """A folder with an adapter that names its base."""
    folder.mkdir(parents=True)
    save_file({"lora": np.full(2, seed, dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}), encoding="utf-8")
    return folder


def test_adapters_on_an_adapter_start_from_it_and_not_from_the_bare_model(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base")
    sft = adapter(tmp_path / "sft", base, seed=1)
    dpo = [adapter(tmp_path / "dpo" / f"checkpoint-{step}", sft, seed=step) for step in (5, 10)]
    whole = at_work(tmp_path, str(tmp_path / "dpo")).look(patient=False).whole
    assert [one.weights().adapters for one in whole.values()] == [(sft,), (sft, dpo[0]), (sft, dpo[1])]
    alone = at_work(tmp_path, {1: str(sft)}).look(patient=False).whole
    assert whole[0].fingerprint() == alone[1].fingerprint(), "the same answers as the end of the SFT"


def test_a_training_that_goes_on_with_an_adapter_starts_from_it(tmp_path: Path) -> None:
    """Its checkpoints hold all that the adapter held, and lie on the bare model, as they say."""
    base = checkpoint(tmp_path / "base")
    sft = adapter(tmp_path / "sft", base, seed=1)
    later = adapter(tmp_path / "dpo" / "checkpoint-5", base, seed=5)
    on_top = adapter(tmp_path / "dpo" / "checkpoint-9", sft, seed=9)
    whole = at_work(tmp_path, str(tmp_path / "dpo"), base=str(sft)).look(patient=False).whole
    assert [one.weights().adapters for one in whole.values()] == [(sft,), (later,), (sft, on_top)]


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


def test_a_base_beside_a_checkpoint_of_step_0_is_refused_unless_it_is_the_same(tmp_path: Path) -> None:
    base, first = checkpoint(tmp_path / "base"), checkpoint(tmp_path / "out" / "epoch_0", state=False, seed=1)
    with pytest.raises(UserError, match="a checkpoint of step 0"):
        at_work(tmp_path, str(tmp_path / "out"), base=str(base)).look(patient=False)
    for source, stated in ((str(tmp_path / "out"), first), ({0: str(first)}, base)):
        assert list(at_work(tmp_path, source, base=str(stated)).look(patient=False).whole) == [0]


def test_adapters_on_two_bases_are_two_trainings(tmp_path: Path) -> None:
    base, other = checkpoint(tmp_path / "base"), checkpoint(tmp_path / "other", seed=9)
    copied = shutil.copytree(base, tmp_path / "copied")
    for step, lies_on in ((5, base), (10, copied), (15, other), (20, base)):
        adapter(tmp_path / "out" / f"checkpoint-{step}", lies_on, seed=step)
    sighting = at_work(tmp_path, str(tmp_path / "out")).look(patient=False)
    assert list(sighting.whole) == [0, 5, 10, 20], "a copy of the base is the base"
    assert f"an adapter on {other}" in sighting.broken[str(tmp_path / "out" / "checkpoint-15")]


def test_an_adapter_without_base_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "checkpoint-4"
    folder.mkdir(parents=True)
    save_file({"lora": np.zeros(2, dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="names no base"):
        at_work(tmp_path, str(tmp_path / "out")).look(patient=False).whole[4].weights()


def test_a_checkpoint_without_tokenizer_takes_that_of_its_base(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base")
    folder = checkpoint(tmp_path / "out" / "checkpoint-4", seed=4)
    (folder / "tokenizer.json").unlink()
    one = at_work(tmp_path, str(tmp_path / "out"), base=str(base)).look(patient=False).whole[4]
    assert (one.weights().base / "tokenizer.json").read_text() == "{}"
    assert (one.weights().base / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    shutil.copy(base / "tokenizer.json", folder)
    again = at_work(tmp_path, str(tmp_path / "out"), base=str(base)).look(patient=False).whole[4]
    assert again.fingerprint() == one.fingerprint(), "where the tokenizer lay makes no difference"


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


def test_a_base_that_is_not_here_is_told_with_the_checkpoint_that_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "checkpoint-4"
    folder.mkdir(parents=True)
    save_file({"lora": np.zeros(2, dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/gone/base"}', encoding="utf-8")
    with pytest.raises(UserError, match=r"checkpoint-4: its adapter_config.json names the base /gone/base, which is not here .*--base"):
        at_work(tmp_path, str(tmp_path / "out")).look(patient=False).whole[4].weights()


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
