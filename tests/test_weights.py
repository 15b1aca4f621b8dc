"""Weights are known by content: not by path, not by time, and by all that changes an answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from valuedrift.errors import UserError
from valuedrift.weights import Weights, check_model_folder


def model(folder: Path, *, value: float = 1.0, **config: object) -> Path:
    folder.mkdir(parents=True)
    save_file({"w": np.full((4, 4), value, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"hidden_size": 4, "_name_or_path": str(folder), **config}), encoding="utf-8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    return folder


def test_equal_bytes_under_two_paths_are_one_and_changed_bytes_under_one_path_are_two(tmp_path: Path) -> None:
    first, second = Weights(base=model(tmp_path / "a")), Weights(base=model(tmp_path / "b"))
    before = first.fingerprint()
    assert before == second.fingerprint()
    shutil.rmtree(tmp_path / "a")
    model(tmp_path / "a", value=2.0)
    assert first.fingerprint() != before


def test_a_file_changed_in_place_with_size_and_time_kept_is_noticed(tmp_path: Path) -> None:
    import os

    weights = Weights(base=model(tmp_path / "a"))
    before, path = weights.fingerprint(), tmp_path / "a" / "model.safetensors"
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size and weights.fingerprint() != before


def test_what_changes_an_answer_is_in_it_and_what_names_the_folder_is_not(tmp_path: Path) -> None:
    base = Weights(base=model(tmp_path / "a")).fingerprint()
    assert Weights(base=model(tmp_path / "b", transformers_version="9.9")).fingerprint() == base
    assert Weights(base=model(tmp_path / "c", rope_theta=1.0)).fingerprint() != base
    for name, content in (("tokenizer_config.json", {"chat_template": "x"}), ("generation_config.json", {"eos_token_id": 2})):
        folder = model(tmp_path / name)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
        assert Weights(base=folder).fingerprint() != base


READ = (
    *("merges.txt", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "additional_chat_templates/rag.jinja", "tekken.json", "qwen.tiktoken", "quantize_config.json"),
)
NOT_READ = (
    *("README.md", ".gitattributes", "LICENSE", "LICENSE.txt", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state_0.pth"),
    *("trainer_state.json", "all_results.json", "train.log", "events.out.tfevents.1", "modeling_own.py", "mergekit_config.yml"),
    *("preprocessor_config.json", "pytorch_model.bin", "checkpoint.json", "onnx/model.onnx", "checkpoint-5/model.safetensors"),
)


@pytest.mark.parametrize("name", READ)
def test_every_file_that_a_loader_reads_counts(tmp_path: Path, name: str) -> None:
    folder = model(tmp_path / "a")
    prints = [Weights(base=folder).fingerprint()]
    for content in ('{"a": 1}', '{"a": 2}'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
        prints.append(Weights(base=folder).fingerprint())
    assert len(set(prints)) == 3


@pytest.mark.parametrize("name", NOT_READ)
def test_no_file_counts_that_no_loader_reads(tmp_path: Path, name: str) -> None:
    folder = model(tmp_path / "a")
    before = Weights(base=folder).fingerprint()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("anything", encoding="utf-8")
    assert Weights(base=folder).fingerprint() == before


SAID = {
    "vocab.json": json.dumps({"a": 0, "b": 1, "ab": 2}),
    "vocab.txt": "a\nb\nab\n",
    "merges.txt": "#version: 0.2\na b\n",
    "added_tokens.json": json.dumps({"<end>": 3}),
    "special_tokens_map.json": json.dumps(
        {
            "eos_token": {"content": "<end>", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False},
            "pad_token": "<end>",
        }
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_a_file_that_repeats_what_the_tokenizer_says_changes_nothing_until_it_says_something_else(tmp_path: Path, name: str) -> None:
    folder = model(tmp_path / "a")
    end = {"id": 3, "content": "<end>", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    bpe = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
    (folder / "tokenizer.json").write_text(json.dumps({"model": bpe, "added_tokens": [end]}), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>", "pad_token": "<end>"}), encoding="utf-8")
    before = Weights(base=folder).fingerprint()
    (folder / name).write_text(SAID[name], encoding="utf-8")
    assert Weights(base=folder).fingerprint() == before
    for old, new in (("a", "b"), ("<end>", "<pad>"), ("false", "true")):
        if old in SAID[name]:
            (folder / name).write_text(SAID[name].replace(old, new), encoding="utf-8")
            assert Weights(base=folder).fingerprint() != before


def test_an_index_counts_where_it_says_other_than_the_shards(tmp_path: Path) -> None:
    folder = model(tmp_path / "a")
    for number, name in enumerate(("one", "two")):
        save_file({name: np.full(2, number, dtype=np.float32)}, folder / f"model-{number}.safetensors")
    (folder / "model.safetensors").unlink()
    before, index = Weights(base=folder).fingerprint(), folder / "model.safetensors.index.json"
    listed = {"one": "model-0.safetensors", "two": "model-1.safetensors"}
    index.write_text(json.dumps({"metadata": {"total_size": 16}, "weight_map": listed}), encoding="utf-8")
    assert Weights(base=folder).fingerprint() == before
    prints = {before}
    for changed in ({"one": "model-0.safetensors"}, {**listed, "two": "model-0.safetensors"}, {**listed, "three": "model-0.safetensors"}):
        index.write_text(json.dumps({"metadata": {"total_size": 16}, "weight_map": changed}), encoding="utf-8")
        prints.add(Weights(base=folder).fingerprint())
    assert len(prints) == 4


def test_the_day_that_templates_are_told_is_identity_of_models_whose_template_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import date

    asks = "{{ strftime_now('%d %b %Y') }}"
    plain, by_file, by_config, by_further = (model(tmp_path / name) for name in ("plain", "file", "config", "further"))
    (plain / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    (by_file / "chat_template.jinja").write_text(asks, encoding="utf-8")
    (by_config / "tokenizer_config.json").write_text(json.dumps({"chat_template": [{"name": "default", "template": asks}]}), "utf-8")
    (by_further / "additional_chat_templates").mkdir()
    (by_further / "additional_chat_templates" / "rag.jinja").write_text(asks, encoding="utf-8")
    folders = (plain, by_file, by_config, by_further)
    before = [Weights(base=folder).fingerprint() for folder in folders]
    monkeypatch.setattr("valuedrift.weights.TEMPLATE_DATE", date(2025, 1, 1))
    after = [Weights(base=folder).fingerprint() for folder in folders]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, False, False]


def test_adapters_count_in_their_order(tmp_path: Path) -> None:
    base = Weights(base=model(tmp_path / "base"))
    one, two = model(tmp_path / "one", value=3.0), model(tmp_path / "two", value=4.0)
    prints = {
        base.fingerprint(),
        base.plus(one).fingerprint(),
        base.plus(one).plus(two).fingerprint(),
        base.plus(two).plus(one).fingerprint(),
    }
    assert len(prints) == 4


def test_pickled_weights_and_missing_parts_are_refused(tmp_path: Path) -> None:
    folder = model(tmp_path / "a")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="without a tokenizer"):
        check_model_folder(folder)
    (folder / "model.safetensors").rename(folder / "model.bin")
    with pytest.raises(UserError, match="pickled weights"):
        Weights(base=folder).fingerprint()
    with pytest.raises(UserError, match="no such model folder"):
        check_model_folder(tmp_path / "nowhere")
