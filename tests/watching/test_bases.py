"""What the adapters of a series lie on, and what is its step 0."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_checkpoints import adapter, at_work, checkpoint

from valuedrift.errors import UserError
from valuedrift.watching.checkpoints import look_into


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


def test_a_base_that_is_not_here_is_told_with_the_checkpoint_that_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "checkpoint-4"
    folder.mkdir(parents=True)
    save_file({"lora": np.zeros(2, dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/gone/base"}', encoding="utf-8")
    with pytest.raises(UserError, match=r"checkpoint-4: its adapter_config.json names the base /gone/base, which is not here .*--base"):
        at_work(tmp_path, str(tmp_path / "out")).look(patient=False).whole[4].weights()
