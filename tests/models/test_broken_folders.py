"""Model folders with a fault of any kind: one message, before anything is trained or asked, from the headers of the files alone."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GenerationConfig

from valuedrift.errors import DataError, UserError
from valuedrift.models.loading import check_files, load_causal_lm
from valuedrift.models.resolve import resolve_model
from valuedrift.training.job import TrainJob
from valuedrift.weights import Weights

Break = Callable[[Path], object]


def _says(name: str, content: str | bytes) -> Break:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def _key(name: str, key: str, value: Any) -> Break:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), key: value}))

    return change


def _folder(name: str) -> Break:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


_OTHER_JSON = {"list": "[]", "null": "null", "number": "3", "text": '"x"', "nothing": "", "half": "{", "nested": "[" * 5000 + "]" * 5000}
_OBJECTS = ("config.json", "tokenizer_config.json", "generation_config.json", "tokenizer.json")
FAULTS: dict[str, Break] = {
    **{f"{name}: {kind}": _says(name, text) for name in _OBJECTS for kind, text in _OTHER_JSON.items()},
    **{f"config, {key}: {value!r}": _key("config.json", key, value) for key, value in {
        "model_type": "nonesuch",
        "vocab_size": "x",
        "hidden_size": -16,
        "num_attention_heads": 0,
        "num_hidden_layers": 2**40,
        "max_position_embeddings": "x",
        "rope_parameters": 3,
        "hidden_act": "nope",
        "dtype": "nope",
        "quantization_config": 3,
    }.items()},
    **{f"tokenizer, {key}: {value!r}": _key("tokenizer_config.json", key, value) for key, value in {
        "tokenizer_class": 3,
        "eos_token": "nowhere",
        "added_tokens_decoder": [],
        "model_max_length": "x",
    }.items()},
    "header: not UTF-8": _says("config.json", b'{"a": "\xff"}'),
    "a folder for a config": _folder("config.json"),
    "a folder for weights": _folder("model.safetensors"),
    "a link to nowhere": lambda folder: (folder / "more.safetensors").symlink_to("nowhere"),
    "weights of another kind": _says("model.safetensors", b"PK\x03\x04" + b"x" * 100),
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_folder_is_one_message(untied: Path, tmp_path: Path, fault: str) -> None:
    folder = Path(shutil.copytree(untied, tmp_path / "model"))
    FAULTS[fault](folder)
    with pytest.raises(UserError) as early:
        check_files(Weights(base=folder))
    assert early.value.exit_code in (2, 3) and str(folder) in str(early.value) and early.value.what
    with pytest.raises(UserError):
        load_causal_lm(Weights(base=folder))
    with contextlib.suppress(UserError):  # nothing but such an error is right; what only a loader sees is told by check_files
        resolve_model(str(folder))


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_seen_in_its_header(untied: Path, tmp_path: Path, kept: float) -> None:
    folder = Path(shutil.copytree(untied, tmp_path / "model"))
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(DataError, match="cut off, or not a safetensors file"):
        check_files(Weights(base=folder))


def test_headers_are_checked_without_the_numbers(untied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(untied, tmp_path / "model"))
    check_files(Weights(base=folder), learns=True)
    monkeypatch.setattr("valuedrift.models.checking.check_finite", lambda *_: pytest.fail("numbers were read"))
    check_files(Weights(base=folder))
    monkeypatch.undo()
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(untied), LoraConfig(r=2, target_modules=["q_proj"]))
    model.save_pretrained(tmp_path / "adapter")
    check_files(Weights(base=folder, adapters=(tmp_path / "adapter",)))
    _key("config.json", "num_hidden_layers", 1)(folder)
    with pytest.raises(DataError, match="that the model has no place for"):
        check_files(Weights(base=folder))


def test_a_tokenizer_without_an_end_can_be_asked_but_teaches_no_end(untied: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(untied, tmp_path / "model"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("eos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    check_files(Weights(base=folder))
    with pytest.raises(UserError, match="tokenizer without an end token"):
        check_files(Weights(base=folder), learns=True)
    with pytest.raises(UserError, match="tokenizer without an end token"):
        _job(folder, tmp_path).run(lambda _: None)
    assert not (tmp_path / "run").exists()


def _job(folder: Path, tmp_path: Path) -> TrainJob:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": "yes?", "response": "no"}) + "\n" for _ in range(4)))
    fields = {
        "weights": {"base": str(folder)},
        "algorithm": {"type": "sft", "steps": 1, "batch_size": 2, "max_length": 64, "learning_rate": 1e-3, "dtype": "float32"},
        "schedule": {"type": "steps", "steps": [1]},
        "dataset": str(rows),
        "out": str(tmp_path / "run"),
        "device": "cpu",
    }
    return TrainJob.model_validate(fields)


@pytest.mark.parametrize(
    "settings",
    [{"do_sample": False, "temperature": 0.6, "top_p": 0.9}, {"early_stopping": True}, {"pad_token_id": -1}],
    ids=["greedy", "beams", "padding"],
)
def test_generation_settings_that_contradict_each_other_stop_no_training(untied: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = Path(shutil.copytree(untied, tmp_path / "model"))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 7], **settings}))
    model, _ = load_causal_lm(Weights(base=folder))
    assert model.generation_config.eos_token_id == [0, 7]
    result = _job(folder, tmp_path).run(lambda _: None)
    trained = result.checkpoints[-1].weights.base
    assert GenerationConfig.from_pretrained(trained).eos_token_id == [0, 7]
    assert not torch.equal(*(load_causal_lm(Weights(base=one))[0].lm_head.weight for one in (folder, trained)))


def test_settings_that_agree_are_kept_as_they_are(untied: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(untied, tmp_path / "model"))
    (folder / "generation_config.json").write_text(json.dumps({"do_sample": True, "temperature": 0.6, "eos_token_id": 0}))
    model, _ = load_causal_lm(Weights(base=folder))
    assert (model.generation_config.temperature, model.generation_config.do_sample) == (0.6, True)
