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
